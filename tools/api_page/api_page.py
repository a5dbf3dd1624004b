"""Writes docs/api.md from the headers: every public call, its shapes, executions and errors.

    python3 tools/api_page/api_page.py [--check]

With --check nothing is written: the exit code says whether the page is what the headers say.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = ROOT / "include"
EXAMPLE = ROOT / "examples" / "engine.cu"
PAGE = ROOT / "docs" / "api.md"

CALLS = {
    "Attention": [
        "attention", "partial_attention", "merge_attention", "attention_path", "fp8_attention",
        "fp8_attention_workspace", "quantize_attention", "quantize_heads", "quantize_values", "mean_of_heads",
    ],
    "Position and norms": [
        "qk_norm_rope", "rope3d", "make_rope_table", "make_rope_table_in", "rms_norm", "layer_norm", "gated_residual",
        "gated_residual_layer_norm", "group_norm", "group_norm_workspace",
    ],
    "Matrix products": ["linear", "quantize_rows"],
    "Convolutions of video": [
        "causal_conv3d", "conv2d", "conv_path", "pack_conv_weight", "conv_moments", "pixel_shuffle3d",
        "pixel_unshuffle3d", "repeat_channels", "average_channels", "upsample_nearest",
    ],
    "Sampler, noise and embeddings": [
        "guided_step", "fill_normal", "count_non_finite", "count_non_finite_workspace", "timestep_sinusoids",
        "latents_to_tokens", "tokens_to_latents", "embed",
    ],
    "Elements and pixels": ["convert", "frames_to_pixels", "join_seam", "sum_parts"],
    "Memory": ["copy", "upload", "download", "transfer", "synchronize"],
}
# Parts of the calls above, which engines may use and which may change in any version.
PARTS = re.compile(
    r"launch_\w+|require_\w+|plain_attention|warp_attention|causal_softmax|add_table|apply_epilogue|transpose"
    r"|channel_extents_workspace|conv_weight_elements|fill_unit_normal|release_bytes"
)
TYPES = {
    "Where a call runs": ["Host", "Device", "Gpu", "Workspace", "Buffer"],
    "Views": [
        "VectorView", "MatrixView", "TokensView", "HeadsView", "VideoView", "LatentsView", "ScaledRows",
        "QuantizedHeads", "QuantizedValues",
    ],
    "Elements": ["bf16", "fp16", "fp8_e4m3", "Element", "SameBytesAs"],
    "Masks of attention": [
        "AttentionMask", "AttentionBias", "FullMask", "KeyPrefixMask", "CausalMask", "BottomRightCausalMask",
        "WindowMask", "PackedMask", "SqrtAlibiMask", "KeyRangeMask",
    ],
    "What calls are told": [
        "AttentionOptions", "QuantizeOptions", "QkNorm", "RopeTable", "RopeTableView", "LayerNormTerms",
        "ConvShape", "ConvOptions", "PackedConvWeight", "LinearOptions", "FlowSchedule",
    ],
    "What follows a product": ["Store", "Bias", "Activate", "Residual", "GatedResidual", "Chain"],
    "Shapes and ranks": ["VideoShape", "LatentShape", "Topology", "Mesh", "Communicator", "AttentionAcrossRanks"],
    "Errors": ["Error", "RequestError"],
}

class Declaration:
    def __init__(self, header, lines, text):
        self.header, self.text = header, text
        self.doc = " ".join(line[3:].strip() for line in lines if line[3:].strip() != "")
        self.doc = re.sub(r"\s+", " ", self.doc).strip()


def declarations(header):
    """The documented declarations at the top level of a header, those of inner namespaces left out."""
    doc, text, is_inner, is_detail = [], [], False, False
    for line in header.read_text().splitlines():
        if line.startswith(("namespace ", "}  // namespace")):
            is_detail = line.startswith("namespace") and "detail" in line
            doc = []
        elif line.startswith("///"):
            if text:
                text = []
                doc = []
            doc.append(line)
        elif doc and not is_detail:
            if not text and line.startswith((" ", "}", "#")):
                doc = []
                continue
            text.append(line)
            joined = " ".join(text)
            if "{" in line or line.rstrip().endswith(";"):
                yield Declaration(header, doc, joined)
                doc, text = [], []


def split_parameters(text):
    """The parameters between the parentheses that open at the start of `text`."""
    depth, parts, part = 0, [], ""
    for character in text:
        depth += character in "(<[{"
        depth -= character in ")>]}"
        if depth == 0:
            break
        if depth == 1 and character == ",":
            parts.append(part)
            part = ""
        elif not (depth == 1 and character == "(" and not part and not parts):
            part += character
    return [re.sub(r"\s+", " ", p).strip() for p in parts + [part] if p.strip()]


def readable(type_text):
    """Without what only steers deduction."""
    before = None
    while before != type_text:
        before = type_text
        type_text = re.sub(r"std::type_identity_t<((?:[^<>]|<[^<>]*>)*)>", r"\1", type_text)
    return type_text


class Call:
    def __init__(self, declaration, name, result, parameters):
        self.header, self.doc, self.name = declaration.header, declaration.doc, name
        self.result, self.parameters = result, parameters
        first = parameters[0] if parameters else ""
        self.on_host = first.startswith(("Host", "E ", "Execution"))
        self.on_device = first.startswith(("Device", "E ", "Execution"))

    def signature(self):
        rest = ", ".join(readable(p) for p in self.parameters[1:])
        return f"{self.name}(execution{', ' if rest else ''}{rest})"


def without_template(text):
    """A declaration without its template parameters and what they are required to be."""
    text = text.strip()
    while text.startswith("template"):
        depth = 0
        for at, character in enumerate(text):
            depth += (character == "<") - (character == ">")
            if character == ">" and depth == 0:
                text = text[at + 1:].strip()
                break
    while text.startswith("requires"):
        text = re.sub(r"^requires\s*(\([^()]*(\([^()]*\)[^()]*)*\)|[\w:]+(<[^<>]*(<[^<>]*>[^<>]*)*>)?)(\s*(&&|\|\|)\s*!?"
                      r"(\([^()]*\)|[\w:]+(<[^<>]*(<[^<>]*>[^<>]*)*>)?))*\s*", "", text)
    return text


def call_of(declaration):
    match = re.match(r"(?:(?:inline|constexpr|static)\s+)*([\w:<>, ]*?[\w>])\s+([a-z_]\w*)\(", without_template(declaration.text))
    if not match:
        return None
    parameters = split_parameters(without_template(declaration.text)[match.end() - 1:])
    call = Call(declaration, match.group(2), match.group(1).strip(), parameters)
    return call if call.on_host or call.on_device else None


def type_of(declaration):
    match = re.match(r"(?:struct|class|concept)\s+(?:\w+\(\w*\)\s+)?(\w+)", without_template(declaration.text))
    return match.group(1) if match else None


def read():
    calls, types = {}, {}
    for header in sorted(INCLUDE.rglob("*.[hc]*"), key=lambda h: (h.suffix == ".cuh", h)):
        for declaration in declarations(header):
            name = type_of(declaration)
            if name:
                types.setdefault(name, declaration)
                continue
            call = call_of(declaration)
            if call and not PARTS.fullmatch(call.name):
                calls.setdefault(call.name, []).append(call)
    return calls, types


def include_of(header):
    return header.relative_to(INCLUDE).as_posix()


def write_call(name, overloads):
    headers = sorted({include_of(c.header) for c in overloads}, key=lambda h: (h.endswith(".cuh"), h))
    where = []
    if any(c.on_host for c in overloads):
        where.append("CPU")
    if any(c.on_device for c in overloads):
        where.append("GPU")
    lines = [f"### `{name}`", "", f"{' and '.join(where)}; " + ", ".join(f"`<{h}>`" for h in headers), ""]
    signatures = []
    for call in overloads:
        if call.signature() not in signatures:
            signatures.append(call.signature())
    lines += ["```c++"] + signatures + ["```", ""]
    said = set()
    for call in overloads:
        if call.doc in said:
            continue
        said.add(call.doc)
        label = "" if call.on_host else "On the GPU: "
        lines += [label + call.doc, ""]
    return lines


def functions_of_the_example():
    """What stands in the example between its namespace and main."""
    text = EXAMPLE.read_text()
    return text[text.index("/// "):text.index("int main")].rstrip().splitlines()


def page(calls, types):
    lines = [
        "# The calls of the library",
        "",
        "Written from the headers by `tools/api_page/api_page.py`; a test holds it against them. What stands here is",
        "public: names, parameters and meanings stay within a major version, and a change of one is in the",
        "changelog. Everything else in the headers is a part that may change in any version.",
        "",
        "`execution` is `host`, or `Device{stream}` for the current GPU: then views are of its memory, work is",
        "enqueued on that stream and may be captured into a graph, nothing is allocated and nothing waits. Calls",
        "that need room take it as a `Workspace`. Where it says \"see the host's\", the same holds as on the CPU. A",
        "call that is wrong throws `RequestError` with a sentence that names what was found, before it touches an",
        "element.",
        "",
        "An engine's own pointers and streams, and a graph ([examples/engine.cu](../examples/engine.cu)):",
        "",
        "```cpp",
        *functions_of_the_example(),
        "```",
        "",
    ]
    for family, names in CALLS.items():
        lines += [f"## {family}", ""]
        for name in names:
            if name not in calls:
                raise SystemExit(f"api_page.py: {name} of the page is in no header; take it out of CALLS")
            lines += write_call(name, calls[name])
    of_page = {name for names in CALLS.values() for name in names}
    for name in calls:
        if name not in of_page:
            raise SystemExit(f"api_page.py: {name} is public in {include_of(calls[name][0].header)} and not on the page; "
                             "add it to CALLS, or to PARTS where it is no call for users")
    lines += ["## Types", ""]
    for family, names in TYPES.items():
        lines += [f"### {family}", "", "| type | header | |", "|---|---|---|"]
        for name in names:
            if name not in types:
                raise SystemExit(f"api_page.py: the type {name} of the page is in no header; take it out of TYPES")
            sentence = re.split(r"(?<=[\w)`])\.(?:\s|$)", types[name].doc)[0].replace("|", "\\|")
            lines.append(f"| `{name}` | `<{include_of(types[name].header)}>` | {sentence} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def main():
    calls, types = read()
    text = page(calls, types)
    if "--check" in sys.argv:
        if PAGE.read_text() != text:
            raise SystemExit("docs/api.md is not what the headers say; python3 tools/api_page/api_page.py writes it")
        return
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
