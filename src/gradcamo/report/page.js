"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const PALETTE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442",
    "#555555"];
  const SYMBOLS = ["circle", "diamond", "square", "cross", "triangle-up"];
  const config = { responsive: true, displaylogo: false,
    plotlyServerURL: "",
    modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d", "sendChartToCloud"] };
  const layout = (extra) => ({ margin: { l: 60, r: 20, t: 20, b: 50 }, paper_bgcolor: "#fff",
    plot_bgcolor: "#fff", font: { family: "inherit", size: 13 }, hoverlabel: { align: "left" },
    ...extra });
  const percent = (share) => (Number.isFinite(share) ? `${Math.round(100 * share)} %` : "–");
  let step = Number(byId("cutoff").value);

  const show = (id) => { byId(`${id}-section`).hidden = false; return byId(id); };
  const passing = (counts) => counts[step];
  const at = () => data.steps[step];

  const DARK = 0.43; // of Viridis: white can be read below it, black above (contrast 4.5 both)

  function brightest() { // wells of a plate differ by little: the scale ends above the best one
    const best = Math.max(0.2, ...data.wells.map((w) => w.median ?? 0));
    return Math.min(1, Math.ceil(10 * best) / 10);
  }

  function drawPlate() {
    if (!data.wells.length) return;
    const plates = [...new Set(data.wells.map((w) => w.plate))];
    const kind = byId("plate-colour").value;
    const value = (w) => (kind === "median" ? w.median : passing(w.at_least) / w.cells);
    const top = kind === "median" ? brightest() : 1;
    const traces = [], axes = {}, notes = [];
    let most = 1, wide = 0;
    plates.forEach((plate, i) => {
      const wells = data.wells.filter((w) => w.plate === plate);
      const range = (numbers) => {
        const low = Math.min(...numbers), high = Math.max(...numbers);
        return Array.from({ length: high - low + 1 }, (_, k) => low + k);
      };
      const letter = (row) => [...row].reduce((n, c) => 26 * n + c.charCodeAt(0) - 64, 0);
      const name = (n) => (n > 26 ? String.fromCharCode(64 + Math.floor((n - 1) / 26)) : "")
        + String.fromCharCode(65 + (n - 1) % 26);
      const rows = range(wells.map((w) => letter(w.row))).map(name);
      const columns = range(wells.map((w) => w.column));
      const at = new Map(wells.map((w) => [`${w.row} ${w.column}`, w]));
      const grid = (f, absent = null) => rows.map((r) => columns.map((c) => {
        const well = at.get(`${r} ${c}`);
        return well ? f(well) : absent;
      }));
      most = Math.max(most, rows.length);
      wide += columns.length;
      const n = i === 0 ? "" : i + 1;
      const said = (w) => (value(w) === null ? "–" : value(w).toFixed(2))
        + (columns.length * plates.length > 8 ? "" : ` · ${w.treatment}`);
      const dark = (w) => value(w) !== null && value(w) / top < DARK;
      const heat = { type: "heatmap", xaxis: `x${n}`, yaxis: `y${n}`, z: grid(value),
        x: columns.map(String), y: rows, zmin: 0, zmax: kind === "median" ? undefined : 1,
        xgap: 3, ygap: 3, coloraxis: "coloraxis", hoverongaps: false, texttemplate: "%{text}",
        customdata: grid((w) => `${w.plate ? `${w.plate}, ` : ""}well ${w.well}, ${w.treatment}<br>`
          + `median score ${w.median === null ? "–" : w.median.toFixed(2)}<br>`
          + `${passing(w.at_least)} of ${w.cells} cells pass`),
        hovertemplate: "%{customdata}<extra></extra>" };
      traces.push({ ...heat, textfont: { color: "#000" },
        text: grid((w) => (dark(w) ? "" : said(w)), "") });
      traces.push({ ...heat, textfont: { color: "#fff" }, // dark wells alone: it lies over the other
        z: grid((w) => (dark(w) ? value(w) : null)), text: grid((w) => (dark(w) ? said(w) : ""), "") });
      axes[`xaxis${n}`] = { type: "category", side: "top", showgrid: false, fixedrange: true,
        domain: [i / plates.length, (i + 0.9) / plates.length] };
      axes[`yaxis${n}`] = { type: "category", autorange: "reversed", showgrid: false,
        fixedrange: true, anchor: `x${n}` };
      if (plates.length > 1) {
        notes.push({ text: plate, showarrow: false, xref: `x${n} domain`, yref: "paper", x: 0.5,
          y: -0.02, yanchor: "top" });
      }
    });
    const plot = show("plate");
    plot.style.maxWidth = `${240 + 110 * wide}px`;
    Plotly.react(plot, traces, layout({ ...axes, annotations: notes,
      height: 70 + 36 * Math.max(3, most), margin: { l: 40, r: 20, t: 40, b: 30 },
      coloraxis: { colorscale: "Viridis", cmin: 0, cmax: top,
        colorbar: { title: { text: kind === "median" ? "median<br>score" : "share" } } } }), config);
  }

  function drawScores() {
    if (!data.groups.length) return;
    const traces = data.sites.map((site) => {
      const groups = data.groups.filter((g) => g.site === site);
      return { type: "violin", name: site === "" ? "all" : site, legendgroup: site,
        x: groups.flatMap((g) => g.scores.map(() => g.treatment)),
        y: groups.flatMap((g) => g.scores), line: { color: data.colours[site], width: 1 },
        fillcolor: `${data.colours[site]}88`, meanline: { visible: false }, points: false,
        box: { visible: true, width: 0.25 }, scalemode: "width", spanmode: "hard",
        hoveron: "violins", hoverinfo: "name+y" };
    });
    Plotly.react(show("scores"), traces, layout({ violinmode: "group", violingap: 0.15,
      height: 420, xaxis: { categoryorder: "array", categoryarray: data.treatments,
        fixedrange: true },
      yaxis: { title: { text: "Grad-CAMO" }, range: [-0.02, 1.02], gridcolor: "#eee" },
      legend: { title: { text: "site" }, orientation: "h", y: -0.18 },
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: at(), y1: at(),
        line: { dash: "dash", width: 1.5, color: "#000" } }] }), config);
    const rows = data.passing.map((treatment) => {
      const wells = data.wells.filter((w) => w.treatment === treatment.name);
      const left = wells.filter((w) => passing(w.at_least) > 0).length;
      return [treatment.name, treatment.cells, passing(treatment.at_least),
        percent(passing(treatment.at_least) / treatment.cells),
        wells.length ? `${left} of ${wells.length}` : "–"];
    });
    const body = byId("pass-table").tBodies[0];
    body.replaceChildren(...rows.map((row) => {
      const tr = document.createElement("tr");
      tr.append(...row.map((text) => {
        const td = document.createElement("td");
        td.textContent = typeof text === "number" ? text.toLocaleString("en") : text;
        return td;
      }));
      return tr;
    }));
  }

  const FEW = 5; // a mean of fewer cells is drawn pale and says how many

  function budgetOf(plot, budget, title, line) {
    const groups = budget.groups;
    const x = groups.length === 1 ? groups[0] : groups;
    const name = (i) => groups.map((names) => names[i]).join(", ");
    const part = budget[plot.id === "budget" ? "map" : "cause"];
    const traces = part.shares.map((share) => ({ type: "bar", name: share.name, x,
      y: share.values,
      marker: { color: share.colour, opacity: part.cells.map((n) => (n < FEW ? 0.4 : 1)) },
      text: share.values.map((v) => (v === null || v < 0.05 ? "" : percent(v))),
      textposition: "inside", insidetextanchor: "start", // in the middle a mark would cross it
      insidetextfont: { color: "#000" },
      customdata: part.cells.map((n, i) => `${name(i)}, ${n.toLocaleString("en")} cells`),
      hovertemplate: "%{customdata}: %{y:.1%}<extra>%{fullData.name}</extra>" }));
    if (part.line) {
      const size = Math.max(6, Math.min(40, 240 / part.line.length));
      traces.push({ type: "scatter", mode: "markers", name: line, x, y: part.line,
        marker: { symbol: "line-ew", size, line: { width: 2, color: "#000" } },
        hovertemplate: `%{y:.1%}<extra>${line}</extra>` });
    }
    if (part.cells.some((n) => 0 < n && n < FEW)) {
      traces.push({ type: "scatter", mode: "text", showlegend: false, x, hoverinfo: "skip",
        y: part.cells.map((n) => (0 < n && n < FEW ? 1 : null)), textposition: "top center",
        text: part.cells.map((n) => `n = ${n}`), textfont: { size: 11 }, cliponaxis: false });
    }
    Plotly.react(plot, traces, layout({ barmode: "stack", height: 380,
      margin: { l: 50, r: 10, t: 24, b: 50 },
      xaxis: { type: groups.length === 1 ? "category" : "multicategory", fixedrange: true,
        automargin: true },
      yaxis: { title: { text: title }, range: [0, 1], tickformat: ".0%", fixedrange: true },
      legend: { orientation: "h", y: -0.22, yanchor: "top", traceorder: "normal" } }), config);
  }

  function drawBudgets() {
    if (!data.budgets.length) return;
    const budget = data.budgets[Number(byId("budget-by").value)];
    byId("cause").hidden = !budget.cause; // both share the room, so before either is drawn
    budgetOf(show("budget"), budget, "mean share of attention", "chance");
    if (!budget.cause) return;
    budgetOf(byId("causal-budget"), budget, "mean share of the prediction", "volume");
  }

  function drawAgreement() {
    const cells = data.agreement;
    if (!cells) return;
    const names = data.treatments.filter((name) => cells.treatment.includes(name));
    const traces = names.map((name, n) => {
      const mine = cells.treatment.flatMap((t, i) => (t === name ? [i] : []));
      const of = (column) => mine.map((i) => cells[column][i]);
      return { type: "scatter", mode: "markers", name, x: of("map"), y: of("cause"),
        text: mine.map((i) => `cell ${cells.label[i]}, well ${cells.well[i]}, site `
          + `${cells.site[i]}`),
        hovertemplate: "%{text}<br>Grad-CAMO %{x:.2f}, owed %{y:.2f}<extra>%{fullData.name}</extra>",
        marker: { size: 6, opacity: 0.7, color: PALETTE[n % PALETTE.length],
          symbol: SYMBOLS[Math.floor(n / PALETTE.length) % SYMBOLS.length] } };
    });
    const axis = { range: [-0.02, 1.02], gridcolor: "#eee", zeroline: false };
    const plot = byId("agreement");
    plot.hidden = false;
    plot.style.maxWidth = "560px";
    Plotly.react(plot, traces, layout({ height: 480, margin: { l: 60, r: 10, t: 10, b: 50 },
      xaxis: { ...axis, title: { text: "Grad-CAMO: the map on the cell" } },
      yaxis: { ...axis, title: { text: "the prediction owes to the cell" } },
      showlegend: true, legend: { orientation: "h", y: -0.18, yanchor: "top" },
      shapes: [{ type: "line", x0: 0, x1: 1, y0: 0, y1: 1,
        line: { dash: "dot", width: 1, color: "#777" } }] }), config);
  }

  const kinds = new Map(data.cells ? data.cells.kinds : []); // JSON would sort an object's names
  const titled = (column) => (column === "grad_camo" ? "score" : column.replaceAll("_", " "));

  function offerColours() {
    if (!data.cells) return;
    const names = [...kinds.keys()];
    names.splice(names.indexOf("grad_camo") + 1, 0, "pass");
    byId("map-colour").replaceChildren(...names.map((name) => new Option(titled(name), name)));
  }

  function drawMap() {
    if (!data.cells) return;
    const cells = data.cells, kind = byId("map-colour").value;
    const number = kinds.get(kind) === "number";
    const indices = cells.umap_1.map((_, i) => i);
    const trace = (chosen, marker, name) => ({ type: "scatter", mode: "markers", name,
      x: chosen.map((i) => cells.umap_1[i]), y: chosen.map((i) => cells.umap_2[i]),
      customdata: chosen, hoverinfo: "none", marker: { size: 6, opacity: 0.85, ...marker } });
    let traces;
    if (number) {
      const range = kind === "grad_camo" ? { cmin: 0, cmax: 1 } : {};
      traces = [trace(indices, { color: cells[kind], colorscale: "Viridis", ...range,
        colorbar: { title: { text: titled(kind) } } }, "")];
    } else {
      const of = (i) => (kind === "pass"
        ? (cells.grad_camo[i] >= at() ? "passes" : "fails") : cells[kind][i]);
      const found = [...new Set(indices.map(of))];
      const order = kind === "treatment" || kind === "predicted" ? data.treatments
        : kind === "pass" ? ["passes", "fails"] : data.sites;
      found.sort((a, b) => (order.indexOf(a) - order.indexOf(b))
        || a.localeCompare(b, "en", { numeric: true }));
      traces = found.map((name, n) => trace(indices.filter((i) => of(i) === name), {
        color: kind === "pass" && name === "fails" ? "#BBBBBB" : PALETTE[n % PALETTE.length],
        symbol: SYMBOLS[Math.floor(n / PALETTE.length) % SYMBOLS.length] }, name || "none"));
    }
    const square = { showgrid: false, zeroline: false, showticklabels: false };
    const plot = show("map");
    Plotly.react(plot, traces, layout({ height: 520, hovermode: "closest",
      showlegend: !number, xaxis: { ...square, title: { text: "UMAP 1" } },
      yaxis: { ...square, title: { text: "UMAP 2" } } }), config);
    if (plot.dataset.ready) return;
    plot.dataset.ready = "yes";
    plot.on("plotly_hover", (event) => showCell(event.points[0].customdata));
    showCell(0);
  }

  function showCell(i) {
    const cells = data.cells;
    const image = document.querySelector("#cell img");
    image.src = cells.picture[i];
    image.hidden = false;
    const lines = [`score ${cells.grad_camo[i].toFixed(2)}, predicted ${cells.predicted[i]}`,
      `${cells.treatment[i]}, well ${cells.well[i]}, site ${cells.site[i]}`,
      `cell ${cells.label[i]}`];
    const caption = document.querySelector("#cell figcaption");
    caption.replaceChildren(...lines.flatMap((line) =>
      [document.createTextNode(line), document.createElement("br")]));
  }

  function drawLayers() {
    if (!data.layers) return;
    const names = data.layers.map((l) => l.layer);
    const line = (column, dash, name) => ({ type: "scatter", mode: "lines+markers", name, x: names,
      y: data.layers.map((l) => l[column]), line: { dash, color: "#777" } });
    Plotly.react(show("layers"), [line("ceiling", "dot", "ceiling"), line("chance", "dash", "chance"),
      { type: "scatter", mode: "markers", name: "median and quartiles", x: names,
        y: data.layers.map((l) => l.median), marker: { size: 9, color: "#0072B2" },
        error_y: { type: "data", symmetric: false, color: "#0072B2",
          array: data.layers.map((l) => l.high - l.median),
          arrayminus: data.layers.map((l) => l.median - l.low) } }],
    layout({ height: 340, xaxis: { type: "category" }, yaxis: { range: [0, 1],
      title: { text: "Grad-CAMO" } }, legend: { orientation: "h", y: -0.2 } }), config);
  }

  function cutoffMoved() {
    step = Number(byId("cutoff").value);
    byId("cutoff-value").textContent = at().toLocaleString("en",
      { minimumFractionDigits: 2, maximumFractionDigits: 4 });
    const all = data.passing.reduce((n, t) => n + t.cells, 0);
    const pass = data.passing.reduce((n, t) => n + passing(t.at_least), 0);
    byId("passing").textContent = `${pass.toLocaleString("en")} of ${all.toLocaleString("en")} `
      + `whole cells pass (${percent(pass / all)})`;
    drawScores();
    drawPlate();
    if (byId("map-colour").value === "pass") drawMap();
  }

  document.querySelectorAll(".tabs button").forEach((button) => {
    button.addEventListener("click", () => {
      const chosen = button.dataset.gallery;
      document.querySelectorAll(".tabs button").forEach((other) => {
        other.setAttribute("aria-selected", String(other === button));
      });
      document.querySelectorAll(".gallery").forEach((gallery) => {
        gallery.hidden = gallery.dataset.gallery !== chosen;
      });
    });
  });
  byId("cutoff").addEventListener("input", cutoffMoved);
  byId("plate-colour").addEventListener("change", drawPlate);
  byId("map-colour").addEventListener("change", drawMap);
  byId("budget-by").addEventListener("change", drawBudgets);
  byId("budget-by").replaceChildren(...data.budgets.map((b, i) => new Option(b.by, i)));
  offerColours();
  cutoffMoved();
  drawBudgets();
  drawAgreement();
  drawMap();
  drawLayers();
})();
