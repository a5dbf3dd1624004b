"""What the kernels' formulas give, in float64, naive."""
import numpy


def attention(queries, keys, values, sees, scale=None):
    """(out, log_sum_exp); `sees(batch, query, key)`."""
    batch, tokens, heads, dim = queries.shape
    sharing = heads // keys.shape[2]
    q, k, v = (tensor.astype(numpy.float64) for tensor in (queries, keys, values))
    out, sums = numpy.zeros(queries.shape), numpy.full(queries.shape[:3], -numpy.inf)
    for b in range(batch):
        for i in range(tokens):
            seen = [j for j in range(keys.shape[1]) if sees(b, i, j)]
            for h in range(heads):
                if not seen:
                    continue
                weights = numpy.exp(k[b, seen, h // sharing] @ q[b, i, h] * (scale or dim ** -0.5))
                out[b, i, h] = weights @ v[b, seen, h // sharing] / weights.sum()
                sums[b, i, h] = numpy.log(weights.sum())
    return out, sums


def rms_norm(x, weight, epsilon):
    x = x.astype(numpy.float64)
    return x / numpy.sqrt((x ** 2).mean(-1, keepdims=True) + epsilon) * weight.astype(numpy.float64)


def layer_norm(x, epsilon):
    x = x.astype(numpy.float64)
    return (x - x.mean(-1, keepdims=True)) / numpy.sqrt(x.var(-1, keepdims=True) + epsilon)


def rope(x, shape, split):
    """(batch, tokens, heads, dim) turned by the positions of a latent of `shape`."""
    result = x.astype(numpy.float64)
    positions = numpy.stack(numpy.unravel_index(numpy.arange(x.shape[1]), shape))
    first = 0
    for axis, width in enumerate(split):
        pairs = width // 2
        angles = positions[axis][:, None] * 10000.0 ** (-2 * numpy.arange(pairs) / width)
        cosines, sines = numpy.cos(angles)[None, :, None], numpy.sin(angles)[None, :, None]
        a, b = x[..., first:first + pairs], x[..., first + pairs:first + width]
        result[..., first:first + pairs] = a * cosines - b * sines
        result[..., first + pairs:first + width] = b * cosines + a * sines
        first += width
    return result


def causal_conv3d(x, weight, bias, stride=1):
    """x (frames, height, width, channels) behind kernel - 1 zero frames."""
    kernel = weight.shape[2:]
    padded = numpy.pad(x.astype(numpy.float64), ((kernel[0] - 1, 0), (kernel[1] // 2,) * 2, (kernel[2] // 2,) * 2, (0, 0)))
    extents = [(n - 1) // stride + 1 for n in x.shape[:3]]
    out = numpy.zeros(extents + [weight.shape[0]]) + bias
    for t in range(kernel[0]):
        for r in range(kernel[1]):
            for s in range(kernel[2]):
                window = padded[t::stride, r::stride, s::stride][:extents[0], :extents[1], :extents[2]]
                out += window @ weight[:, :, t, r, s].astype(numpy.float64).T
    return out
