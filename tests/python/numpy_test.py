"""stepvideo with numpy's arrays, on the CPU, against formulas in float64; and what is refused, in which words."""
import sys
import unittest

try:
    import numpy
except ImportError:
    print("skipped: this Python has no numpy")
    sys.exit(77)

import oracles
import stepvideo


def random(*shape, seed=1):
    return numpy.random.default_rng(seed).standard_normal(shape).astype(numpy.float32)


def poisoned(*shape):
    return numpy.full(shape, numpy.nan, dtype=numpy.float32)


class Numbers(unittest.TestCase):
    def assert_near(self, actual, expected, bound):
        """Every element, NaN never."""
        self.assertEqual(actual.shape, expected.shape)
        wrong = ~(abs(actual.astype(numpy.float64) - expected) <= bound)
        self.assertFalse(wrong.any(), f"{wrong.sum()} of {wrong.size} elements, the first at {numpy.argwhere(wrong)[:1]}")

    def test_attention_under_every_mask(self):
        queries, keys, values = random(2, 9, 4, 40), random(2, 13, 2, 40, seed=2), random(2, 13, 2, 40, seed=3)
        lengths = numpy.array([13, 5])
        cases = ((dict(), lambda b, i, j: True), (dict(key_lengths=lengths), lambda b, i, j: j < lengths[b]),
                 (dict(mask="causal"), lambda b, i, j: j <= i),
                 (dict(mask="causal", keys_before=4), lambda b, i, j: j <= i + 4),
                 (dict(scale=0.3), lambda b, i, j: True))
        for options, sees in cases:
            with self.subTest(options):
                out, sums = poisoned(*queries.shape), poisoned(*queries.shape[:3])
                returned = stepvideo.attention(queries, keys, values, out=out, log_sum_exp=sums, **options)
                expected, expected_sums = oracles.attention(queries, keys, values, sees, options.get("scale"))
                self.assertIs(returned, out)
                self.assert_near(out, expected, 2e-6)
                self.assert_near(sums, expected_sums, 2e-5)

    def test_any_strides_and_read_only_inputs(self):
        packed = random(2, 7, 3, 16, 3)  # heads behind tokens, channels not last
        packed = numpy.ascontiguousarray(packed.transpose(0, 4, 2, 1, 3))  # (batch, part, heads, tokens, dim)
        queries, keys, values = (packed[:, part].transpose(0, 2, 1, 3) for part in range(3))
        queries.flags.writeable = False
        wide = poisoned(2, 7, 3, 20)
        stepvideo.attention(queries, keys, values, out=wide[..., :16])
        self.assert_near(wide[..., :16], oracles.attention(queries, keys, values, lambda *_: True)[0], 2e-6)
        self.assertTrue(numpy.isnan(wide[..., 16:]).all())

    def test_fp8_attention(self):
        queries, keys, values = random(1, 130, 2, 64), random(1, 150, 2, 64, seed=2), random(1, 150, 2, 64, seed=3)
        out = stepvideo.fp8_attention(queries, keys, values, out=poisoned(*queries.shape))
        expected = oracles.attention(queries, keys, values, lambda *_: True)[0]
        self.assert_near(out, expected, 0.06)
        self.assertGreater(abs(out - expected).max(), 1e-4)  # it is fp8

    def test_norms(self):
        x, weight, bias = random(2, 5, 3, 37), random(37, seed=2), random(37, seed=3)
        self.assert_near(stepvideo.rms_norm(x, weight, epsilon=1e-5, out=poisoned(*x.shape)),
                         oracles.rms_norm(x, weight, 1e-5), 1e-5)
        tokens, scale, shift = x[:, :, 0], random(2, 37, seed=4), random(2, 37, seed=5)
        normed = oracles.layer_norm(tokens, 1e-5)
        self.assert_near(stepvideo.layer_norm(tokens, epsilon=1e-5), normed, 1e-5)
        affine = (normed * weight + bias) * (1 + scale[:, None]) + shift[:, None]
        self.assert_near(stepvideo.layer_norm(tokens, weight, bias, scale=scale, shift=shift, epsilon=1e-5), affine, 2e-5)
        expected, rows = oracles.rms_norm(x[0, :, 0], weight, 1e-6), x[0, :, 0].copy()
        self.assertIs(stepvideo.rms_norm(rows, weight, out=rows), rows)
        self.assert_near(rows, expected, 1e-5)

    def test_group_norm(self):
        x, weight, bias = random(3, 4, 5, 12), random(12, seed=2), random(12, seed=3)
        groups = x.reshape(3, 20, 4, 3).transpose(0, 2, 1, 3).reshape(3, 4, 60)
        normed = oracles.layer_norm(groups, 1e-5).reshape(3, 4, 20, 3).transpose(0, 2, 1, 3).reshape(x.shape) * weight + bias
        self.assert_near(stepvideo.group_norm(x, weight, bias, 4, epsilon=1e-5, out=poisoned(*x.shape)), normed, 2e-5)
        self.assert_near(stepvideo.group_norm(x, weight, bias, 4, activation="silu", epsilon=1e-5),
                         normed / (1 + numpy.exp(-normed)), 2e-5)

    def test_qk_norm_rope(self):
        shape, split = (2, 3, 4), (8, 4, 4)
        packed, query_weight, key_weight = random(2, 24, 3, 48), random(16, seed=2), random(16, seed=3)
        table = stepvideo.RopeTable(*shape, 16)
        queries, keys, values = stepvideo.qk_norm_rope(packed, query_weight, key_weight, table, epsilon=1e-6)
        for part, weight, actual in ((0, query_weight, queries), (1, key_weight, keys)):
            normed = oracles.rms_norm(packed[..., 16 * part:16 * part + 16], weight, 1e-6)
            self.assert_near(actual, oracles.rope(normed, shape, split), 1e-5)
        self.assertTrue((values == packed[..., 32:]).all())
        # The last tokens alone, from their place in the table.
        tail = stepvideo.qk_norm_rope(packed[:, 10:], query_weight, key_weight, table, first_token=10)
        for whole, part in zip((queries, keys, values), tail):
            self.assertTrue((whole[:, 10:] == part).all())

    def test_causal_conv3d(self):
        x, bias = random(5, 6, 7, 3), random(4, seed=2)
        for kernel, stride in (((3, 3, 3), 1), ((3, 3, 3), 2), ((1, 1, 1), 1), ((3, 1, 1), 1)):
            with self.subTest(kernel=kernel, stride=stride):
                weight = random(4, 3, *kernel, seed=3)
                packed, expected = stepvideo.ConvWeight(weight), oracles.causal_conv3d(x, weight, bias, stride)
                out = stepvideo.causal_conv3d(x, packed, bias, stride=stride, out=poisoned(*expected.shape))
                self.assert_near(out, expected, 1e-5)
                if kernel[0] == 3 and stride == 1:
                    later = stepvideo.causal_conv3d(x[1:], packed, bias, past_frames=2)
                    self.assert_near(later, expected[3:], 1e-5)

    def test_nothing_is_an_answer_too(self):
        none = numpy.zeros((1, 0, 2, 8), dtype=numpy.float32)
        self.assertEqual(stepvideo.attention(none, none, none).shape, none.shape)
        queries = random(1, 3, 2, 8)
        self.assert_near(stepvideo.attention(queries, none, none, out=poisoned(*queries.shape)), numpy.zeros(queries.shape), 0)


class Mistakes(unittest.TestCase):
    def refused(self, words, function, *arguments, **options):
        with self.assertRaises(ValueError) as caught:
            function(*arguments, **options)
        self.assertIn(words, str(caught.exception))

    def test_of_attention(self):
        x = random(1, 4, 2, 8)
        out = poisoned(*x.shape)
        attention = stepvideo.attention
        self.refused("keys are (1, 3, 2, 8) and values (1, 4, 2, 8); they must agree", attention, x, x[:, :3], x, out=out)
        self.refused("tensor keys is float64; float32, bfloat16 and float16", attention, x, x.astype(float), x, out=out)
        self.refused("queries is fp16; the CPU serves fp32, bf16", attention, *3 * [x.astype(numpy.float16)])
        self.refused("keys is fp16; here it must be fp32", attention, x, x.astype(numpy.float16), x, out=out)
        self.refused("the last extent must be dense", attention, x, random(1, 4, 2, 16)[..., ::2], x, out=out)
        self.refused("strides are 0 or more", attention, x, x[:, ::-1], x, out=out)
        self.refused("it must be (batch, tokens, heads, dim)", attention, x[0], x, x, out=out)
        self.refused("has a rank of 6", attention, x, x[None, None], x, out=out)
        self.refused("keys is a list, which has no __dlpack__", attention, x, [1.0], x, out=out)
        self.refused("the mask is 'window'; 'full' and 'causal' work", attention, x, x, x, mask="window", out=out)
        self.refused("key_lengths is int32", attention, x, x, x, key_lengths=numpy.array([4], dtype=numpy.int32), out=out)
        self.refused("key_lengths is fp32; here it must be int64", attention, x, x, x, key_lengths=random(1), out=out)
        self.refused("is >f4", attention, x.astype(">f4"), x, x, out=out)
        misaligned = numpy.frombuffer(bytearray(4 * x.size + 1), dtype=numpy.float32, offset=1).reshape(x.shape)
        self.refused("not aligned to its elements of 4 bytes", attention, x, misaligned, x, out=out)
        self.assertTrue(numpy.isnan(out).all())

    def test_of_results(self):
        x = random(1, 4, 2, 8)
        read_only = poisoned(*x.shape)
        read_only.flags.writeable = False
        self.refused("out is read-only", stepvideo.attention, x, x, x, out=read_only)
        self.refused("out is fp16; here it must be fp32", stepvideo.attention, x, x, x, out=x.astype(numpy.float16))
        self.refused("out lies where queries lie", stepvideo.attention, x, x, x, out=x)
        self.refused("the last extent must be dense", stepvideo.attention, x, x, x, out=poisoned(1, 4, 2, 16)[..., ::2])
        many = numpy.lib.stride_tricks.as_strided(poisoned(8), x.shape, (0, 0, 0, 4))
        self.refused("strides are above zero", stepvideo.attention, x, x, x, out=many)

    def test_of_others(self):
        x, weight = random(3, 8), random(7)
        self.refused("weight has 7 elements and a row has 8", stepvideo.rms_norm, x, weight)
        self.refused("weight and bias come together", stepvideo.layer_norm, x, random(8))
        self.refused("8 channels in 3 groups", stepvideo.group_norm, random(1, 1, 1, 8), random(8), random(8), 3)
        self.refused("None and 'silu' work", stepvideo.group_norm, random(1, 1, 1, 8), random(8), random(8), 2, activation="tanh")
        self.refused("does not cover a head of 7", stepvideo.RopeTable, 1, 1, 1, 7, split=(3, 2, 2))
        self.refused("add up to it work", stepvideo.RopeTable, 1, 1, 1, 8, split=(2, 2, 2))
        self.refused("'cpu', 'cuda' and 'cuda:1' work", stepvideo.RopeTable, 1, 1, 1, 8, device="tpu")
        self.refused("table is a NoneType; a RopeTable works", stepvideo.qk_norm_rope, random(1, 1, 1, 24), random(8),
                     random(8), None)
        self.refused("kernels of 1 and 3 are built", stepvideo.ConvWeight, random(1, 1, 2, 2, 2))
        self.refused("it must be (out channels", stepvideo.ConvWeight, random(1, 1))
        packed = stepvideo.ConvWeight(random(4, 3, 3, 3, 3))
        self.refused("weight is a ndarray; a ConvWeight works", stepvideo.causal_conv3d, x, weight, weight)
        self.refused("channels", stepvideo.causal_conv3d, random(2, 3, 4, 2), packed, random(4))
        self.refused("stride 0 is not built", stepvideo.causal_conv3d, random(2, 3, 4, 3), packed, random(4), stride=0)
        self.refused("frames of the past", stepvideo.causal_conv3d, random(4, 3, 4, 3), packed, random(4), past_frames=3)
        self.refused("the workspace has", stepvideo.fp8_attention, *3 * [random(1, 2, 1, 8)], workspace=random(4))

    def test_of_a_gpu_that_is_not_there(self):
        with self.assertRaises((ValueError, RuntimeError)) as caught:
            stepvideo.RopeTable(1, 1, 1, 8, device="cuda:4711")
        words = "GPU" if stepvideo.serves_cuda() else "built without CUDA"
        self.assertIn(words, str(caught.exception))


class Foreign:
    """A tensor of a framework that nothing knows, by DLPack alone."""

    def __init__(self, array, device=(1, 0)):
        self.array, self.device = array, device

    def __dlpack__(self, stream=None):
        return self.array.__dlpack__()

    def __dlpack_device__(self):
        return self.device


class Dlpack(unittest.TestCase):
    def test_tensors_of_a_framework_that_nothing_knows(self):
        queries, keys, values = (Foreign(random(1, 5, 2, 8, seed=seed)) for seed in (1, 2, 3))
        out = Foreign(poisoned(1, 5, 2, 8))
        self.assertIs(stepvideo.attention(queries, keys, values, out=out), out)
        expected = stepvideo.attention(queries.array, keys.array, values.array)
        self.assertTrue((out.array == expected).all())
        with self.assertRaisesRegex(ValueError, "out must be given for a Foreign"):
            stepvideo.attention(queries, keys, values)

    def test_memory_is_given_back_once(self):
        array = random(1, 5, 2, 8)
        before = sys.getrefcount(array)
        for _ in range(3):
            stepvideo.attention(*3 * [Foreign(array)], out=poisoned(1, 5, 2, 8))
            with self.assertRaises(ValueError):
                stepvideo.attention(*3 * [Foreign(array)], out=Foreign(array))
        self.assertEqual(sys.getrefcount(array), before)

    def test_devices(self):
        x = random(1, 5, 2, 8)
        with self.assertRaisesRegex(ValueError, "of DLPack's kind 10; the CPU and NVIDIA GPUs are served"):
            stepvideo.attention(Foreign(x, (10, 0)), x, x)
        with self.assertRaisesRegex(ValueError, "keys lies on GPU 1 and queries on the CPU; one device for all"):
            stepvideo.attention(x, Foreign(x, (2, 1)), x)


if __name__ == "__main__":
    unittest.main()
