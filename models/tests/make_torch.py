"""Makes the networks of `fixtures/graph_torch_*`, exported by PyTorch itself, with what ONNX Runtime answers: python make_torch.py, with
torch, onnxscript and what `make_graphs.py` needs installed. Those whose names end in `_script` come from the older exporter.
"""

import io
import warnings

import numpy as np
import onnx
import torch
from make_graphs import write
from torch import nn
from torch.nn.functional import gelu, glu

FEATURES = 6


class Residual(nn.Module):
    """Layers with a way around one of them, normed."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last, self.norm = nn.Linear(FEATURES, 8), nn.Linear(8, 8), nn.Linear(8, 1), nn.LayerNorm(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.first(x))
        return torch.sigmoid(self.last(self.norm(hidden + gelu(self.second(hidden))))).squeeze(-1)


class Embedded(nn.Module):
    """A feature that is a category, looked up, beside the others."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 3)
        self.layers = nn.Sequential(nn.Linear(FEATURES - 1 + 3, 8), nn.SiLU(), nn.Dropout(0.2), nn.Linear(8, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.table(x[:, 3].clamp(0, 4).to(torch.int64))
        return torch.softmax(self.layers(torch.cat([x[:, :3], x[:, 4:], found], 1)), 1)


class Categories(nn.Module):
    """Categories alone, looked up in one table."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.layer = nn.Embedding(9, 2), nn.Linear(2 * FEATURES, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.table(x).flatten(1))


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(FEATURES, 8), nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.last(glu(self.first(x), dim=1)))


class Cleaned(nn.Module):
    """What is missing or infinite is replaced, and all is scaled."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.randn(FEATURES))
        self.register_buffer("scale", torch.rand(FEATURES) + 0.5)
        self.layers = nn.Sequential(nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.ELU(), nn.Linear(8, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers((torch.nan_to_num(x, 0.5, 9.0, -9.0) - self.mean) / self.scale)


class Rebuilt(nn.Module):
    """How far a row is from what an autoencoder makes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.there, self.back = nn.Linear(FEATURES, 3), nn.Linear(3, FEATURES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return ((self.back(torch.tanh(self.there(x))) - x) ** 2).mean(dim=1)


def main() -> None:
    warnings.simplefilter("ignore")
    torch.manual_seed(1)
    dice = np.random.default_rng(1)
    x = np.round(dice.normal(0, 1.5, (20, FEATURES)), 2).astype(np.float32)
    x[:, 3] = dice.integers(-1, 7, 20)
    holes = x.copy()
    holes[3:8, :3] = np.nan
    holes[9, 1], holes[10, 2] = np.inf, -np.inf
    numbers = dice.integers(0, 9, (20, FEATURES)).astype(np.float32)
    for name, network, rows in [
        ("residual", Residual(), x),
        ("embedded", Embedded(), x),
        ("categories", Categories(), numbers),
        ("gated", Gated(), x),
        ("cleaned", Cleaned(), holes),
        ("rebuilt", Rebuilt(), x),
    ]:
        network.eval()
        given = torch.from_numpy(rows).to(torch.int64 if name == "categories" else torch.float32)
        common = {"input_names": ["x"], "output_names": ["score"], "verbose": False}
        dynamic = {"dynamo": True, "dynamic_shapes": ({0: torch.export.Dim("rows")},), "external_data": False}
        script = {"dynamo": False, "dynamic_axes": {"x": {0: "rows"}, "score": {0: "rows"}}}
        for ending, how in (("", dynamic), ("_script", script)):
            file = io.BytesIO()
            torch.onnx.export(network, (given,), file, **common, **how)
            model = onnx.load_from_string(file.getvalue())
            # Notes on where in the source each node comes from.
            for node in model.graph.node:
                del node.metadata_props[:]
                node.doc_string = ""
            for value in [*model.graph.value_info, *model.graph.input, *model.graph.output]:
                del value.metadata_props[:]
            del model.graph.metadata_props[:], model.metadata_props[:]
            write(f"graph_torch_{name}{ending}", model, rows, tolerance=4e-6)


if __name__ == "__main__":
    main()
