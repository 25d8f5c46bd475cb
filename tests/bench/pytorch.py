"""PyTorch's side of the benchmark: MCMAE pretraining as published, and plain matrix products.

    /usr/bin/python3 tests/bench/pytorch.py [--model tiny,base] [--only step,matmul] [--json]
    python3 tests/bench/pytorch.py --device cuda --precision float32,tf32,bf16 --model base --batch 64
    python3 tests/bench/pytorch.py --device cuda --precision bf16 --model base --largest
    python3 tests/bench/pytorch.py --check tests/golden

Needs torch alone, 1.13 or 2. Stages 1 and 2 are dense, as published: whole maps, with the input of
each depthwise convolution multiplied by the mask. A step draws masks, then runs forward, backward and
AdamW on a batch that stays on the device: no loader. Attention is PyTorch's fused one where there is
one (torch 2), else softmax between two products; a line tells which, and which BLAS ran. bf16 is
autocast over float32 parameters; for products it is plain bfloat16.

Debian's torch takes the system's BLAS: install libopenblas0-pthread for a fair comparison, or matrix
products run on the reference BLAS, about 20 times slower. Convolutions are oneDNN's.

--check compares outputs, loss and gradients with those of the published code, in float32
(pretrain_mcmae_*.safetensors), and counts parameters. Exits with 1 if anything differs.
"""

import argparse
import contextlib
import gc
import itertools
import json
import os
import re
import statistics
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

sys.path.append(str(Path(__file__).resolve().parents[1] / "interop"))
sys.dont_write_bytecode = True
import check_logits  # layers without a mask, and a reader of safetensors

FUSED = hasattr(F, "scaled_dot_product_attention")


@dataclass(frozen=True)
class Settings:
    dims: tuple
    depths: tuple
    heads: int
    decoder: tuple = (512, 8, 16)  # width, depth, heads
    ratios: tuple = (4, 4, 4)  # of the MLPs; the decoder takes the first
    patches: tuple = (4, 2, 2)
    image: int = 224
    norm_pix: bool = True
    mask_ratio: float = 0.75
    batch: int = 1  # unless --batch says otherwise


# As in pipelines/recipes/, and the batches those of main.ts; tiny is its step-tiny.
QUICKSTART = Settings(
    (64, 64, 128), (1, 1, 4), 2, (64, 2, 1), patches=(4, 2, 1), image=80, batch=16
)
MODELS = {
    "tiny": replace(QUICKSTART, dims=(32, 64, 128), patches=(4, 2, 2), image=224, batch=8),
    "quickstart": QUICKSTART,
    "small": Settings((128, 256, 384), (2, 2, 11), 6),
    "base": Settings((256, 384, 768), (2, 2, 11), 12),
}
BASE_PARAMETERS = 115_041_408  # of the published code, position tables included


class ConvBlock(check_logits.ConvBlock):
    """`attn` is the depthwise convolution; it sees removed cells as zero."""

    def forward(self, x, visible):  # [N, C, H, W], [N, 1, H, W]
        inside = self.conv1(self.norm1(x))
        x = x + self.conv2(self.attn(inside * visible.to(inside.dtype)))
        return x + self.mlp(self.norm2(x))


class FusedAttention(check_logits.Attention):
    def forward(self, x):  # [N, L, C]
        qkv = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*qkv.unbind(0))  # [N, heads, L, C/heads]
        return self.proj(mixed.transpose(1, 2).flatten(2))


def transformer(depth, width, ratio, heads):
    blocks = [check_logits.Block(width, width * ratio, heads) for _ in range(depth)]
    for block in blocks if FUSED else ():
        block.attn = FusedAttention(width, heads)
    return nn.Sequential(*blocks)


def sincos(width, grid):
    """Frozen table [1, grid · grid, width]: the first half tells the column, the second the row."""
    omega = 10000 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    angles = torch.arange(grid, dtype=torch.float64)[:, None] * omega
    axis = torch.cat([angles.sin(), angles.cos()], 1)  # [grid, width/2]
    table = torch.cat([axis.repeat(grid, 1), axis.repeat_interleave(grid, 0)], 1)
    return nn.Parameter(table.float()[None], requires_grad=False)


def pick(tokens, index):
    """Rows by index: [N, L, C], [N, K] → [N, K, C]."""
    return tokens.gather(1, index[:, :, None].expand(-1, -1, tokens.shape[2]))


def enlarge(mask, side):
    """[N, 1, H, W] → [N, 1, H · side, W · side]."""
    return mask.repeat_interleave(side, 2).repeat_interleave(side, 3)


def tokens_of(maps):
    """[N, C, H, W] → [N, H · W, C]."""
    return maps.flatten(2).transpose(1, 2)


class Mcmae(nn.Module):
    """The autoencoder, with the published names. N images, L tokens, V visible, patches of P × P."""

    def __init__(self, settings):
        super().__init__()
        (C1, C2, C3), (p1, p2, p3) = settings.dims, settings.patches
        depths, ratios, (width, depth, heads) = settings.depths, settings.ratios, settings.decoder
        self.settings = settings
        self.P = p1 * p2 * p3
        self.G = settings.image // self.P
        self.patch_embed1 = check_logits.PatchEmbed(3, C1, p1)
        self.patch_embed2 = check_logits.PatchEmbed(C1, C2, p2)
        self.patch_embed3 = check_logits.PatchEmbed(C2, C3, p3)
        self.patch_embed4 = nn.Linear(C3, C3)
        self.stage1_output_decode = nn.Conv2d(C1, C3, p2 * p3, stride=p2 * p3)
        self.stage2_output_decode = nn.Conv2d(C2, C3, p3, stride=p3)
        self.blocks1 = nn.ModuleList(ConvBlock(C1, C1 * ratios[0], 5) for _ in range(depths[0]))
        self.blocks2 = nn.ModuleList(ConvBlock(C2, C2 * ratios[1], 5) for _ in range(depths[1]))
        self.blocks3 = transformer(depths[2], C3, ratios[2], settings.heads)
        self.norm = nn.LayerNorm(C3, eps=1e-6)
        self.decoder_embed = nn.Linear(C3, width)
        self.decoder_blocks = transformer(depth, width, ratios[0], heads)
        self.decoder_norm = nn.LayerNorm(width, eps=1e-6)
        self.decoder_pred = nn.Linear(width, self.P**2 * 3)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = sincos(C3, self.G)
        self.decoder_pos_embed = sincos(width, self.G)

    def masks(self, noise):
        """[N, L] → visible tokens [N, V], places [N, L], and 1 where a token is removed [N, L]."""
        order = noise.argsort(1)
        restore = order.argsort(1)
        V = int(noise.shape[1] * (1 - self.settings.mask_ratio))
        return order[:, :V], restore, (restore >= V).float()

    def encode(self, images, keep, removed):
        """[N, 3, H, W] → what is computed on the way, under its golden name; last `latent`."""
        _, p2, p3 = self.settings.patches
        visible = (1 - removed).view(-1, 1, self.G, self.G)
        mask1, mask2 = enlarge(visible, p2 * p3), enlarge(visible, p3)  # of stages 1 and 2
        e1 = self.patch_embed1(images)
        for block in self.blocks1:
            e1 = block(e1, mask1)
        e2 = self.patch_embed2(e1)
        for block in self.blocks2:
            e2 = block(e2, mask2)
        embedded = self.patch_embed4(tokens_of(self.patch_embed3(e2)))  # [N, L, C3]
        e3 = self.blocks3(pick(embedded + self.pos_embed, keep))  # [N, V, C3]
        scale1, scale2 = self.stage1_output_decode(e1), self.stage2_output_decode(e2)  # [N, C3, G, G]
        fused = e3 + pick(tokens_of(scale1), keep) + pick(tokens_of(scale2), keep)
        parts = {"E1": e1, "E2": e2, "patch_embed4": embedded, "E3": e3, "fused_before_norm": fused}
        return {**parts, "latent": self.norm(fused)}

    def decode(self, latent, restore):
        """[N, V, C3] → [N, L, P · P · 3]."""
        x = self.decoder_embed(latent)
        n, V, width = x.shape
        hidden = self.mask_token.to(x.dtype).expand(n, restore.shape[1] - V, width)
        x = pick(torch.cat([x, hidden], 1), restore) + self.decoder_pos_embed
        return self.decoder_pred(self.decoder_norm(self.decoder_blocks(x)))

    def loss(self, predicted, images, removed):
        """Mean squared error on removed patches, whose channels are fastest."""
        P, G = self.P, self.G
        cut = images.view(-1, 3, G, P, G, P).permute(0, 2, 4, 3, 5, 1)
        target = cut.reshape(-1, G * G, P * P * 3)
        if self.settings.norm_pix:
            variance, mean = torch.var_mean(target, -1, keepdim=True)  # unbiased
            target = (target - mean) / (variance + 1e-6).sqrt()
        error = (predicted - target).square().mean(-1)  # [N, L]
        return (error * removed).sum() / removed.sum()

    def forward(self, images, noise):
        keep, restore, removed = self.masks(noise)
        latent = self.encode(images, keep, removed)["latent"]
        return self.loss(self.decode(latent, restore), images, removed)


def count(model):
    return sum(p.numel() for p in model.parameters())


def adamw(model, rate):
    """AdamW of the published pretraining: matrices, kernels and the mask token decay."""
    trained = [p for p in model.parameters() if p.requires_grad]
    vectors = {"params": [p for p in trained if p.ndim == 1], "weight_decay": 0.0}
    others = {"params": [p for p in trained if p.ndim > 1], "weight_decay": 0.05}
    return torch.optim.AdamW([vectors, others], lr=rate, betas=(0.9, 0.95))


def set_precision(precision, device):
    """Switches TF32; the context to compute losses in."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    if precision == "bf16":
        return torch.autocast(device, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def median_ms(run, device, calls, repeats, warmup):
    """Median milliseconds a call, waiting for the device once for every `calls` calls."""
    samples = []
    for _ in range(warmup + repeats):
        start = time.perf_counter()
        for _ in range(calls):
            run()
        if device == "cuda":
            torch.cuda.synchronize()
        samples.append(1000 * (time.perf_counter() - start) / calls)
    return statistics.median(samples[warmup:])


def train(name, batch, precision, options):
    """Times training steps; what a line tells of them."""
    device, settings = options.device, MODELS[name]
    context = set_precision(precision, device)
    gc.collect()  # what an earlier model leaves behind
    if options.compile:
        torch._dynamo.reset()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    torch.manual_seed(0)
    model = Mcmae(settings).to(device)
    compute = torch.compile(model, dynamic=False) if options.compile else model
    optimizer = adamw(model, 1.5e-4 * batch / 256)
    images = torch.randn(batch, 3, settings.image, settings.image, device=device)

    def step():
        noise = torch.rand(batch, model.G**2, device=device)
        with context:
            loss = compute(images, noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    ms = median_ms(step, device, calls=1, repeats=options.steps, warmup=3)
    line = {"precision": precision, "batch": batch, "ms": ms, "images_per_s": 1000 * batch / ms}
    line |= {"parameters": count(model), "attention": "fused" if FUSED else "plain"}
    line["compiled"] = options.compile
    if device == "cuda":
        line["peak_bytes"] = torch.cuda.max_memory_allocated()
    return line


def steps(options):
    for name, precision in itertools.product(options.model, options.precision):
        batch = options.batch or MODELS[name].batch
        yield {"case": f"step-{name}", **train(name, batch, precision, options)}


def largest(options):
    """The largest micro-batch, by doubling until memory runs out."""
    for name, precision in itertools.product(options.model, options.precision):
        batch, line = options.batch or 1, None
        with contextlib.suppress(torch.cuda.OutOfMemoryError):
            while True:
                line = train(name, batch, precision, options)
                batch *= 2
        if line is None:
            raise MemoryError(f"{name} at {precision} does not fit with a batch of {batch}")
        yield {"case": f"largest-{name}", **line}


def matmuls(options):
    """Square products, plain and with one operand transposed."""
    device = options.device
    size, calls = (4096, 16) if device == "cuda" else (1024, 8)
    for precision in options.precision:
        set_precision(precision, device)
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        a, b = (torch.rand(size, size, device=device).sub(0.5).to(dtype) for _ in range(2))
        for layout, x, y in (("", a, b), ("-nt", a, b.mT), ("-tn", a.mT, b)):
            ms = median_ms(lambda: x @ y, device, calls, repeats=5, warmup=1)
            line = {"case": f"matmul-{size}{layout}", "precision": precision, "ms": ms}
            yield {**line, "gflops": 2 * size**3 / ms / 1e6}


CASES = {"step": steps, "matmul": matmuls}


def blas(device):
    """The library of matrix products; ask after one, when it is loaded."""
    if device == "cuda":
        return f"cublas of CUDA {torch.version.cuda}"
    built = re.search(r"BLAS_INFO=(\w+)", torch.__config__.show())
    if built and built.group(1) != "generic":
        return built.group(1)  # PyPI's torch brings its own; numpy may have loaded another
    maps = Path("/proc/self/maps")
    paths = set(re.findall(r"/\S+", maps.read_text())) if maps.exists() else set()
    # Debian's torch asks for libblas.so.3, which OpenBLAS, BLIS, MKL and the reference provide.
    for name in ("libblas", "libopenblas", "libblis", "libmkl"):
        for path in paths:
            if Path(path).name.startswith(name):
                known = re.search("openblas|blis|mkl|atlas", path)
                return path if known else f"reference, {path}"
    return "unknown"


def golden_model(tensors, metadata):
    """The model of a golden file, with its parameters."""
    get = lambda *keys: [json.loads(metadata[key]) for key in keys]
    settings = Settings(
        *get("embed_dim", "depth", "num_heads"),
        decoder=get("decoder_embed_dim", "decoder_depth", "decoder_num_heads"),
        ratios=get("mlp_ratio")[0],
        norm_pix=get("norm_pix_loss")[0],
    )
    model = Mcmae(settings)
    state = {name[6:]: tensor for name, tensor in tensors.items() if name.startswith("param.")}
    if metadata["pos_embed"] == "exact sincos":
        torch.testing.assert_close(model.pos_embed.data, state["pos_embed"], rtol=0, atol=1e-7)
    model.load_state_dict(state, strict=True)
    return model


def check_file(path, device):
    """Prints differences from a golden file; whether every tensor is within its bound."""
    tensors, metadata = check_logits.load(path)
    model = golden_model(tensors, metadata).to(device)
    images, noise = tensors["images"].to(device), tensors["noise"].to(device)
    keep, restore, removed = model.masks(noise)
    found = model.encode(images, keep, removed)
    found["pred"] = model.decode(found["latent"], restore)
    found["loss"] = model.loss(found["pred"], images, removed)
    found["loss"].backward()
    found |= {"ids_keep": keep, "ids_restore": restore, "mask": removed}
    found = {f"out.{name}": tensor for name, tensor in found.items()}
    found |= {f"grad.{name}": p.grad for name, p in model.named_parameters() if p.requires_grad}
    worst = {}  # gradients share a line
    for name, tensor in found.items():
        golden = tensors[name].double()
        difference = tensor.detach().cpu().double() - golden
        error = difference.abs().max().item(), (difference.norm() / golden.norm()).item()
        label = name if name.startswith("out.") else "gradients"
        worst[label] = tuple(map(max, error, worst.get(label, error)))
    results = []
    for label, (absolute, relative) in worst.items():
        bound = 1e-5 if label == "gradients" else 2e-6
        results.append(relative <= bound)
        verdict = "ok" if results[-1] else "OUT OF BOUNDS"
        errors = f"max abs {absolute:.1e}  relative {relative:.1e} ≤ {bound:.0e}"
        print(f"{path.stem} {label:22} {errors}  {verdict}")
    return all(results)


def check(folder, device):
    set_precision("float32", device)
    paths = sorted(folder.glob("pretrain_mcmae_*.safetensors"))
    if not paths:
        raise FileNotFoundError(f"{folder} has no pretrain_mcmae_*.safetensors")
    results = [check_file(path, device) for path in paths]
    counts = {name: count(Mcmae(settings)) for name, settings in MODELS.items()}
    print(*(f"{name:12}{parameters:12,} parameters" for name, parameters in counts.items()), sep="\n")
    return all(results) and counts["base"] == BASE_PARAMETERS


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    lists = {"model": list(MODELS), "precision": ["float32", "tf32", "bf16"], "only": list(CASES)}
    for name, choices in lists.items():
        default = ",".join(choices) if name == "only" else choices[0]
        add(f"--{name}", default=default, help=f"some of {','.join(choices)}; {default} if left out")
    add("--batch", type=int, help="images a step; with --largest, where to begin")
    add("--device", choices=["cpu", "cuda"], default="cpu")
    add("--threads", type=int, default=os.cpu_count(), help="on the CPU; all if left out")
    add("--compile", action="store_true", help="torch.compile, of torch 2")
    add("--steps", type=int, default=10, help="timed steps, at least 5; 3 more warm up")
    add("--largest", action="store_true", help="only find the largest batch, on CUDA")
    add("--check", type=Path, metavar="DIR", help="only compare with golden numbers")
    add("--json", action="store_true", help="one object a line")
    options = parser.parse_args()
    for name, choices in lists.items():
        names = getattr(options, name).split(",")
        setattr(options, name, names)
        # main.ts passes all of its own cases.
        if name != "only" and not set(names) <= set(choices):
            parser.error(f"--{name} takes some of {','.join(choices)}, not {','.join(names)}")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error(f"torch {torch.__version__} finds no CUDA device")
    if options.device == "cpu" and ("tf32" in options.precision or options.largest):
        parser.error("tf32 and --largest need --device cuda")
    if options.device == "cpu" and "bf16" in options.precision and "step" in options.only and not FUSED:
        parser.error("steps in bf16 on the CPU need torch 2, whose LayerNorm takes mixed types")
    if options.compile and not hasattr(torch, "compile"):
        parser.error(f"--compile needs torch 2, this is {torch.__version__}")
    if options.steps < 5:
        parser.error("--steps takes at least 5")
    return options


def main():
    options = parse()
    torch.set_num_threads(options.threads)
    torch.backends.cudnn.benchmark = True  # as published
    if options.check:
        return 0 if check(options.check, options.device) else 1
    cases = [case for name, case in CASES.items() if name in options.only]
    for case in [largest] if options.largest else cases:
        for line in case(options):
            line |= {"peer": "pytorch", "device": options.device, "threads": options.threads}
            line |= {"torch": torch.__version__, "blas": blas(options.device)}
            if options.device == "cuda":
                line["gpu"] = torch.cuda.get_device_name()
            if options.json:
                print(json.dumps(line), flush=True)
                continue
            head = f"{line.pop('case'):16}{line.pop('precision'):8}{line.pop('ms'):10.2f} ms"
            rest = (f"{v:.2f} {k}" if isinstance(v, float) else f"{k} {v}" for k, v in line.items())
            print("  ".join([head, *rest]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
