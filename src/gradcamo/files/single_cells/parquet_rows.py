"""A Parquet file with columns added, whose own values, types and metadata stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gradcamo.errors import GradcamoError
from gradcamo.files.single_cells.column_roles import is_ours


def write_rows(source: Path, out: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Write the Parquet at ``source`` with these columns at its end, in the place of earlier ones.

    It goes row group by row group, so that no table is too large.

    Raises
    ------
    GradcamoError
        If there are more or fewer rows than values.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {name: _array(values) for name, values in columns.items()}
    count = len(next(iter(arrays.values())))
    with pq.ParquetFile(source) as file:
        if file.metadata.num_rows != count:
            raise GradcamoError(f"{source} no longer has {count:,} rows: open it again")
        own = file.schema_arrow
        kept = [n for n, name in enumerate(own.names) if not is_ours(name)]
        fields = [own.field(n) for n in kept]
        fields += [pa.field(name, array.type) for name, array in arrays.items()]
        schema = pa.schema(fields, metadata=own.metadata)
        compression = _compression(file)
        with pq.ParquetWriter(out, schema, compression=compression) as writer:
            first = 0
            for number in range(file.num_row_groups):
                group = file.read_row_group(number)
                values = [group.column(n) for n in kept]
                values += [array.slice(first, len(group)) for array in arrays.values()]
                first += len(group)
                part = pa.Table.from_arrays(values, schema=schema)
                writer.write_table(part, row_group_size=max(len(group), 1))


def _array(values: np.ndarray) -> Any:
    import pyarrow as pa

    if values.dtype.kind == "f":
        return pa.array(values, pa.float64(), from_pandas=True)  # NaN is no score
    return pa.array(values, pa.bool_() if values.dtype.kind == "b" else pa.string())


def _compression(file: Any) -> dict[str, str] | str:
    """How each column is packed, by its path."""
    if not file.num_row_groups:
        return "snappy"
    group = file.metadata.row_group(0)
    columns = [group.column(n) for n in range(group.num_columns)]
    codecs = {column.path_in_schema: column.compression for column in columns}
    return {path: "NONE" if codec == "UNCOMPRESSED" else codec for path, codec in codecs.items()}
