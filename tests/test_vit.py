from dataclasses import replace

import numpy as np
import pytest
import torch

import gradcamo as gc
from gradcamo import AuditSettings, CropSettings, GradcamoError
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.networks.vit import attention_cam, attention_last, attention_layers, attention_rollout

pytest.importorskip("einops", reason="MONAI's ViT needs einops")
from monai.networks.nets import ViT

BOTH = ("attention_last", "attention_rollout")


def transformer(dims=3, img_size=(8, 16, 24), patch=(4, 8, 8), **given):
    torch.manual_seed(0)
    options = {"hidden_size": 24, "mlp_dim": 32, "num_layers": 3, "num_heads": 4, "num_classes": 3}
    network = ViT(2, img_size, patch, **options, classification=True, spatial_dims=dims, **given)
    for block in network.blocks:  # untrained attention is all but flat
        block.attn.qkv.weight.data *= 20
    return network.eval()


def attention_by_hand(network, x):
    """Softmax of Q K' / sqrt(d) of every block, from its weights."""
    tokens = network.patch_embedding(x)
    tokens = torch.cat((network.cls_token.expand(len(x), -1, -1), tokens), 1)
    found = []
    for block in network.blocks:
        n, t, width = tokens.shape
        q, k, _ = (
            block.attn.qkv(block.norm1(tokens)).view(n, t, 3, 4, width // 4).permute(2, 0, 3, 1, 4)
        )
        found.append((q @ k.transpose(-1, -2) / (width // 4) ** 0.5).softmax(-1))
        tokens = block(tokens)
    return found, network.norm(tokens)[:, 0]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("proj_type", ["conv", "perceptron"])
def test_maps_are_the_class_token_s_attention_and_its_rollout(dims, proj_type):
    sizes = {"img_size": (8, 16, 24)[-dims:], "patch": (4, 8, 8)[-dims:]}
    network, grid = transformer(dims, **sizes, proj_type=proj_type), (2, 2, 3)[-dims:]
    x = torch.randn(3, 2, *sizes["img_size"])
    with torch.no_grad():
        attentions, token = attention_by_hand(network, x)
        logits, _ = network(x)
    got = attention_cam(network, x, BOTH)
    last = attentions[-1].mean(1)[:, 0, 1:].reshape(3, *grid)
    torch.testing.assert_close(got.maps["attention_last"], last)
    rolled = np.stack([np.eye(last[0].numel() + 1)] * 3)
    for a in attentions:  # Abnar and Zuidema: what a layer passes on, of what it was given
        step = a.mean(1).double().numpy() + np.eye(rolled.shape[-1])
        rolled = step / step.sum(-1, keepdims=True) @ rolled
    expected = rolled[:, 0, 1:].reshape(3, *grid)
    np.testing.assert_allclose(got.maps["attention_rollout"], expected, rtol=1e-4)
    torch.testing.assert_close(got.profiles["attention_last"], token)
    torch.testing.assert_close(got.logits, logits)
    assert got.target.tolist() == logits.argmax(1).tolist()
    assert (got.maps["attention_last"][0] > 1.5 * last[0].mean()).any()  # not flat


def test_attention_to_one_patch_rolls_out_to_that_patch():
    attention = torch.full((1, 1, 5, 5), 1e-9)
    attention[..., 3] = 1
    (share,) = attention_last([attention])
    assert share.argmax() == 2
    (rolled,) = attention_rollout([attention] * 6)
    assert rolled[2] > 0.95


def test_the_network_is_given_back_as_it_was():
    network, x = transformer(), torch.randn(1, 2, 8, 16, 24)
    network.train()
    before = [block.attn.att_mat for block in network.blocks]
    attention_cam(network, x, BOTH)
    assert network.training
    assert not any(block.attn.save_attn for block in network.blocks)
    assert all(b.attn.att_mat is m for b, m in zip(network.blocks, before, strict=True))
    assert all(p.requires_grad for p in network.parameters())
    assert not network.norm._forward_hooks
    with pytest.raises(GradcamoError):
        attention_cam(network, x[..., :16], BOTH)
    assert network.training


def test_patches_lie_in_the_crop_where_they_were_cut():
    network = transformer()
    info = attention_layers(network, (2, 8, 16, 24))["attention_rollout"]
    assert (info.channels, info.grid) == (24, (2, 2, 3))
    assert info.sight == ((4, 8, 8), (1.5, 3.5, 3.5))


def test_a_transformer_is_audited_like_any_network(field):
    stack, labels = field
    network = transformer(img_size=(6, 32, 32), patch=(3, 8, 8))
    crop = CropSettings(size_yx=(32, 32))
    own = Checkpoint.around(network, stack.channels, BOTH[0], (6, 32, 32), crop)
    tables = {layer: gc.audit(stack, labels, replace(own, layer=layer)) for layer in BOTH}
    for layer, table in tables.items():
        scored = table[~table["touches_border"]]
        assert set(scored["layer"]) == {layer}
        shares = scored[["grad_camo", "neighbour_share", "background_share"]].sum(axis=1)
        np.testing.assert_allclose(shares, 1, atol=1e-5)
    assert not np.allclose(*(t["grad_camo"].dropna() for t in tables.values()))
    # patches have no overhang: both alignments are the same
    aligned = AuditSettings(alignment="receptive-field")
    other = gc.audit(stack, labels, own, aligned)
    np.testing.assert_allclose(other["grad_camo"], tables[BOTH[0]]["grad_camo"], rtol=1e-4)


def test_what_a_transformer_cannot_do_is_refused(field):
    stack, labels = field
    local = AuditSettings(gradients="local")
    fit = transformer(img_size=(6, 32, 32), patch=(3, 8, 8))
    crop = CropSettings(size_yx=(32, 32))
    own = Checkpoint.around(fit, stack.channels, BOTH[0], (6, 32, 32), crop)
    with pytest.raises(GradcamoError, match="leave gradients averaged"):
        gc.audit(stack, labels, own, local)
    network, x = transformer(), torch.randn(1, 2, 8, 16, 24)
    with pytest.raises(GradcamoError, match="attention_last, attention_rollout"):
        attention_cam(network, x, ["blocks.0"])
    with pytest.raises(GradcamoError, match=r"12 patches of \(4, 8, 8\).*\(8, 16, 16\)"):
        attention_cam(network, x[..., :16])
    with pytest.raises(GradcamoError, match="no attention"):
        attention_rollout([])
    for block in network.blocks:
        block.attn.use_flash_attention = True
    with pytest.raises(GradcamoError, match="use_flash_attention=False"):
        attention_cam(network, x)
    with pytest.raises(GradcamoError, match="the same for every treatment"):
        gc.audit(stack, labels, own, AuditSettings(target="1"))
