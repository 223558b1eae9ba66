"""A model of somebody else's: a BERT whose feed-forward size is the width, from weights that were trained before."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from core import Family, Width
from tests.helpers.architectures import examples, prove

transformers = pytest.importorskip("transformers")
TOKENS = examples(6, tokens=100)


class Classifier(nn.Module):
    """The logits alone, from tokens as they come out of a data set."""

    def __init__(self, intermediate_size: int) -> None:
        super().__init__()
        config = transformers.BertConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=intermediate_size,
            vocab_size=100, max_position_embeddings=16, num_labels=3, attn_implementation="eager",
        )  # fmt: skip
        self.bert = transformers.BertForSequenceClassification(config)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.bert(input_ids=tokens.long()).logits


@pytest.mark.slow
def test_bert_from_a_checkpoint(tmp_path):
    """The width is a name in a configuration; the weights that it starts from come from a file."""
    family = Family(Classifier, intermediate_size=Width(64, lower=32))
    given = family.build()
    save_file({name: value.contiguous() for name, value in given.state_dict().items()}, tmp_path / "bert.safetensors")
    masked = {f"bert.bert.encoder.layer.{k}.intermediate.intermediate_act_fn": (2, "intermediate_size") for k in (0, 1)}
    start = load_file(tmp_path / "bert.safetensors")
    run = prove(tmp_path, family, TOKENS, masked=masked, start=start, order="gradient")
    assert run.record.training["start"]["order"] == "gradient"
    assert {name for name, tensor in run.layout.tensors.items() if tensor.widths()} == {
        f"bert.bert.encoder.layer.{k}.{part}"
        for k in range(2)
        for part in ("intermediate.dense.weight", "intermediate.dense.bias", "output.dense.weight")
    }
