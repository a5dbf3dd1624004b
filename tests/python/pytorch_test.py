"""stepvideo with PyTorch's tensors against PyTorch's own functions, on the CPU and, where there is one, on a GPU."""
import sys
import unittest

try:
    import torch
except ImportError:
    print("skipped: this Python has no PyTorch")
    sys.exit(77)

import stepvideo

HAS_GPU = torch.cuda.is_available() and stepvideo.serves_cuda()


def places():
    """(device, element, bound of a result near 1)"""
    yield "cpu", torch.float32, 1e-5
    yield "cpu", torch.bfloat16, 2e-2
    if HAS_GPU:
        yield "cuda", torch.bfloat16, 2e-2
        yield "cuda", torch.float16, 5e-3


def attention_of(queries, keys, values, is_causal=False, lengths=None):
    """(batch, tokens, heads, dim) in float64 by PyTorch's own operations."""
    q, k, v = (tensor.double().transpose(1, 2) for tensor in (queries, keys, values))
    k, v = (tensor.repeat_interleave(q.shape[1] // k.shape[1], 1) for tensor in (k, v))
    scores = q @ k.transpose(2, 3) / q.shape[3] ** 0.5
    places_of_keys = torch.arange(k.shape[2], device=q.device)
    if is_causal:
        hidden = places_of_keys > torch.arange(q.shape[2], device=q.device)[:, None]
        scores = scores.masked_fill(hidden, float("-inf"))
    if lengths is not None:
        scores = scores.masked_fill(places_of_keys >= lengths[:, None, None, None], float("-inf"))
    return (scores.softmax(-1) @ v).transpose(1, 2)


class AgainstPyTorch(unittest.TestCase):
    def on_every_place(self):
        for device, element, bound in places():
            with self.subTest(device=device, element=element):
                generator = torch.Generator().manual_seed(1)
                yield (lambda *shape: torch.randn(*shape, generator=generator).to(device, element)), bound

    def assert_near(self, actual, expected, bound):
        """Every element, NaN never; bounds grow with what is large."""
        self.assertEqual(actual.shape, expected.shape)
        allowed = bound * (1 + expected.double().abs())
        wrong = ~((actual.double() - expected.double()).abs() <= allowed)
        self.assertFalse(wrong.any(), f"{int(wrong.sum())} of {wrong.numel()} elements")

    def test_attention(self):
        for random, bound in self.on_every_place():
            for dim in (40, 64, 128):
                queries, keys, values = random(2, 150, 4, dim), random(2, 200, 2, dim), random(2, 200, 2, dim)
                lengths = torch.tensor([200, 77], device=queries.device)
                out = torch.full_like(queries, float("nan"))
                self.assertIs(stepvideo.attention(queries, keys, values, out=out), out)
                self.assert_near(out, attention_of(queries, keys, values), bound)
                self.assert_near(stepvideo.attention(queries, keys, values, mask="causal"),
                                 attention_of(queries, keys, values, is_causal=True), bound)
                self.assert_near(stepvideo.attention(queries, keys, values, key_lengths=lengths),
                                 attention_of(queries, keys, values, lengths=lengths), bound)

    def test_attention_of_a_transposed_projection(self):
        for random, bound in self.on_every_place():
            queries, keys, values = random(2, 90, 3, 4, 64).unbind(2)
            self.assert_near(stepvideo.attention(queries, keys, values), attention_of(queries, keys, values), bound)
            head_major = torch.full((2, 4, 90, 64), float("nan"), device=queries.device, dtype=queries.dtype)
            stepvideo.attention(queries, keys, values, out=head_major.transpose(1, 2))
            self.assert_near(head_major.transpose(1, 2), attention_of(queries, keys, values), bound)

    def test_norms(self):
        for random, bound in self.on_every_place():
            x, weight, bias = random(2, 9, 96), random(96), random(96)
            wide = x.double()
            rms = wide / (wide.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight.double()
            self.assert_near(stepvideo.rms_norm(x, weight, out=torch.full_like(x, float("nan"))), rms, bound)
            expected = torch.nn.functional.layer_norm(wide, (96,), weight.double(), bias.double(), 1e-6)
            self.assert_near(stepvideo.layer_norm(x, weight, bias), expected, bound)
            scale, shift = random(2, 96).float(), random(2, 96).float()
            modulated = expected * (1 + scale[:, None].double()) + shift[:, None].double()
            self.assert_near(stepvideo.layer_norm(x, weight, bias, scale=scale, shift=shift), modulated, bound)

    def test_group_norm(self):
        for random, bound in self.on_every_place():
            x, weight, bias = random(2, 9, 10, 64), random(64), random(64)
            expected = torch.nn.functional.group_norm(x.double().permute(0, 3, 1, 2), 32, weight.double(), bias.double(), 1e-6)
            out = stepvideo.group_norm(x, weight, bias, 32, activation="silu", out=torch.full_like(x, float("nan")))
            self.assert_near(out, torch.nn.functional.silu(expected).permute(0, 2, 3, 1), bound)

    def test_qk_norm_rope(self):
        for random, bound in self.on_every_place():
            packed, query_weight, key_weight = random(1, 24, 3, 3 * 64), random(64), random(64)
            table = stepvideo.RopeTable(2, 3, 4, 64, device=packed.device)
            queries, keys, values = stepvideo.qk_norm_rope(packed, query_weight, key_weight, table)
            self.assertTrue(torch.equal(values, packed[..., 128:]))
            for actual, part, weight in ((queries, 0, query_weight), (keys, 1, key_weight)):
                x = packed[..., 64 * part:64 * part + 64].double()
                x = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight.double()
                tokens, first = torch.arange(24, device=x.device), 0
                for position, width in ((tokens // 12, 32), (tokens // 4 % 3, 16), (tokens % 4, 16)):
                    pairs = torch.arange(width // 2, device=x.device, dtype=torch.float64)
                    angle = (position[:, None] * 10000.0 ** (-2 * pairs / width))[None, :, None]
                    a, b = x[..., first:first + width // 2].clone(), x[..., first + width // 2:first + width].clone()
                    x[..., first:first + width // 2] = a * angle.cos() - b * angle.sin()
                    x[..., first + width // 2:first + width] = b * angle.cos() + a * angle.sin()
                    first += width
                self.assert_near(actual, x, 2 * bound)

    def test_causal_conv3d(self):
        for random, bound in self.on_every_place():
            x, weight, bias = random(4, 9, 10, 16), random(24, 16, 3, 3, 3) / 20, random(24)
            padded = torch.nn.functional.pad(x.double().permute(3, 0, 1, 2)[None], (1, 1, 1, 1, 2, 0))
            expected = torch.nn.functional.conv3d(padded, weight.double(), bias.double())[0].permute(1, 2, 3, 0)
            out = torch.full(expected.shape, float("nan"), device=x.device, dtype=x.dtype)
            self.assert_near(stepvideo.causal_conv3d(x, stepvideo.ConvWeight(weight), bias, out=out), expected, bound)

    @unittest.skipUnless(HAS_GPU, "needs a GPU")
    def test_a_call_goes_to_the_current_stream(self):
        x, weight = torch.randn(4096, 1024, device="cuda"), torch.ones(1024, device="cuda")
        expected = stepvideo.rms_norm(x * 3, weight)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            torch.cuda._sleep(50_000_000)  # what follows on another stream would read what is not there yet
            actual = stepvideo.rms_norm(x * 3, weight)
        stream.synchronize()
        self.assertTrue(torch.equal(actual, expected))

    @unittest.skipUnless(HAS_GPU, "needs a GPU")
    def test_fp8_attention_on_hopper(self):
        if torch.cuda.get_device_capability()[0] != 9:
            self.skipTest("fp8 attention runs on Hopper")
        queries, keys, values = (torch.randn(1, 500, 2, 128, device="cuda").bfloat16() for _ in range(3))
        self.assert_near(stepvideo.fp8_attention(queries, keys, values), attention_of(queries, keys, values), 0.06)

    @unittest.skipUnless(HAS_GPU, "needs a GPU")
    def test_tensors_of_two_devices_are_refused(self):
        x = torch.randn(1, 4, 2, 64, device="cuda").bfloat16()
        with self.assertRaisesRegex(ValueError, "keys lies on the CPU and queries on GPU"):
            stepvideo.attention(x, x.cpu(), x)

    def test_mistakes(self):
        x = torch.randn(1, 4, 2, 64)
        with self.assertRaisesRegex(ValueError, "queries does not give its memory away: .*gradient"):
            stepvideo.attention(x.clone().requires_grad_(), x, x)
        with self.assertRaisesRegex(ValueError, "keys is float64"):
            stepvideo.attention(x, x.double(), x)
        with self.assertRaisesRegex(ValueError, "strides are above zero"):
            stepvideo.attention(x, x, x, out=torch.zeros(1, 1, 1, 64).expand(1, 4, 2, 64))


if __name__ == "__main__":
    unittest.main()
