"""Compares logits of files written here with PyTorch's, within 1e-5.

    deno run -A tests/interop/write_logits.ts DIR
    python3 tests/interop/check_logits.py DIR/a.model.safetensors DIR/a.logits.safetensors …

Arguments are pairs: a classifier (parameters under the published names, `head.*` among them; `model`
in its metadata tells the heads), then a file with `images` [N, 3, H, W] and `logits` [N, K]. The
PyTorch code below is checked first, against finetune_convvit_*.safetensors of the published code
(--golden, by default tests/golden). Needs torch only; reads safetensors by itself. Exits with 1 if
anything differs.
"""

import argparse
import json
import math
import struct
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

BOUND = 1e-5
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def load(path):
    """Tensors by name, and the metadata."""
    data = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        values = torch.frombuffer(bytearray(data[begin:end]), dtype=DTYPES[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return tensors, metadata


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of [N, C, H, W]."""

    def forward(self, x):
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class PatchEmbed(nn.Module):
    def __init__(self, inputs, width, size):
        super().__init__()
        self.proj = nn.Conv2d(inputs, width, size, stride=size)
        self.norm = ChannelNorm(width, eps=1e-5)

    def forward(self, x):
        return F.gelu(self.norm(self.proj(x)))


class Mlp(nn.Module):
    def __init__(self, layer, width, hidden):
        super().__init__()
        self.fc1 = layer(width, hidden)
        self.fc2 = layer(hidden, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


def pointwise(inputs, outputs):
    return nn.Conv2d(inputs, outputs, 1)


class ConvBlock(nn.Module):
    """`attn` is a depthwise convolution in attention's place."""

    def __init__(self, width, hidden, size):
        super().__init__()
        self.norm1 = ChannelNorm(width, eps=1e-5)
        self.conv1 = pointwise(width, width)
        self.conv2 = pointwise(width, width)
        self.attn = nn.Conv2d(width, width, size, padding=size // 2, groups=width)
        self.norm2 = ChannelNorm(width, eps=1e-5)
        self.mlp = Mlp(pointwise, width, hidden)

    def forward(self, x):
        x = x + self.conv2(self.attn(self.conv1(self.norm1(x))))
        return x + self.mlp(self.norm2(x))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).view(n, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(n, tokens, width))


class Block(nn.Module):
    def __init__(self, width, hidden, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(nn.Linear, width, hidden)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Classifier(nn.Module):
    """MCMAE's encoder, which sees whole images, with a linear head; sizes are those of `state`."""

    def __init__(self, state, heads):
        super().__init__()
        shape = {name: tensor.shape for name, tensor in state.items()}
        for stage in (1, 2, 3):
            width, inputs, size, _ = shape[f"patch_embed{stage}.proj.weight"]
            setattr(self, f"patch_embed{stage}", PatchEmbed(inputs, width, size))
            blocks = []
            while f"blocks{stage}.{len(blocks)}.norm1.weight" in state:
                name = f"blocks{stage}.{len(blocks)}"
                hidden = shape[f"{name}.mlp.fc1.weight"][0]
                blocks.append(
                    Block(width, hidden, heads)
                    if stage == 3
                    else ConvBlock(width, hidden, shape[f"{name}.attn.weight"][-1])
                )
            setattr(self, f"blocks{stage}", nn.Sequential(*blocks))
        self.patch_embed4 = nn.Linear(width, width)
        self.pos_embed = nn.Parameter(torch.zeros(shape["pos_embed"]))
        self.takes_mean = "fc_norm.weight" in state
        setattr(self, "fc_norm" if self.takes_mean else "norm", nn.LayerNorm(width, eps=1e-6))
        self.head = nn.Linear(width, shape["head.weight"][0])

    def forward(self, x):
        for stage in (1, 2, 3):
            x = getattr(self, f"patch_embed{stage}")(x)
            if stage < 3:
                x = getattr(self, f"blocks{stage}")(x)
        tokens = self.patch_embed4(x.flatten(2).transpose(1, 2)) + self.pos_embed
        tokens = self.blocks3(tokens)
        if self.takes_mean:
            return self.head(self.fc_norm(tokens.mean(1)))
        return self.head(self.norm(tokens)[:, 0])  # there is no class token: the top left patch


def check(name, state, heads, images, expected):
    """Prints the relative error of PyTorch's logits; whether it is within the bound."""
    model = Classifier(state, heads)
    model.load_state_dict(state, strict=True)
    with torch.no_grad():
        logits = model.eval()(images)
    error = ((logits - expected).norm() / expected.norm()).item()
    verdict = "ok" if error <= BOUND else "OUT OF BOUNDS"
    print(f"{name}  logits {list(logits.shape)}  {error:.2e} ≤ {BOUND:.0e}  {verdict}")
    return error <= BOUND


def check_golden(path):
    tensors, metadata = load(path)
    state = {
        name[len("param.") :]: tensor
        for name, tensor in tensors.items()
        if name.startswith("param.")
    }
    heads = int(metadata["num_heads"])
    return check(path.name, state, heads, tensors["images"], tensors["out.logits"])


def check_written(model_path, logits_path):
    state, metadata = load(model_path)
    state = {name: tensor.float() for name, tensor in state.items()}
    tensors, _ = load(logits_path)
    heads = json.loads(metadata["model"])["heads"]
    return check(model_path, state, heads, tensors["images"], tensors["logits"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--golden", type=Path, default=Path(__file__).parent.parent / "golden")
    parser.add_argument("files", nargs="*", metavar="MODEL LOGITS")
    arguments = parser.parse_args()
    if len(arguments.files) % 2 != 0:
        parser.error("files come in pairs: a model, then its logits")
    golden = sorted(arguments.golden.glob("finetune_convvit_*.safetensors"))
    if not golden:
        parser.error(f"{arguments.golden} has no finetune_convvit_*.safetensors")
    results = [check_golden(path) for path in golden]
    pairs = zip(arguments.files[::2], arguments.files[1::2])
    results += [check_written(*pair) for pair in pairs]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
