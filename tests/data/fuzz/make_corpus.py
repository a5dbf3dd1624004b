"""Writes the seeds of this folder: python3 make_corpus.py. Files that fuzzing found (found_*) are kept beside them.

A file called valid_* must be accepted, one called refused_* refused; tests/fuzz/replay.cpp holds the readers to it.
"""
import io
import json
import pathlib
import pickle
import struct
import zipfile

folder = pathlib.Path(__file__).parent
root = folder.parent.parent.parent
deep = 100_000


def write(target, name, contents):
    path = folder / target / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())


def safetensors(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def vae_shapes(bad_extent):
    """The tensors from which a VAE's widths are read, without their elements."""
    names = ["decoder.conv_in.conv.weight", "decoder.conv_unpatchify.conv.conv.weight",
             "encoder.conv_in.conv.weight", "encoder.conv_patchify.conv.conv.weight"]
    return {name: tensor("U8", [bad_extent, 1, 0, 3, 3], 0, 0) for name in names}


def write_safetensors():
    def put(name, *arguments, **named):
        write("safetensors", name, safetensors(*arguments, **named))

    eight = bytes(range(8))
    put("valid_two_tensors", {"a": tensor("F32", [2], 0, 8), "b": tensor("BF16", [2, 2], 8, 16),
                              "__metadata__": {"format": "pt"}}, eight + eight)
    put("valid_every_dtype", {name: tensor(name, [1], 8 * i, 8 * i + size) for i, (name, size) in enumerate(
        [("F64", 8), ("I64", 8)])} | {"f": tensor("F32", [1], 16, 20), "i": tensor("I32", [1], 20, 24),
                                      "h": tensor("F16", [1], 24, 26), "s": tensor("I16", [1], 26, 28),
                                      "8": tensor("F8_E4M3", [1], 28, 29), "c": tensor("I8", [1], 29, 30),
                                      "u": tensor("U8", [1], 30, 31), "t": tensor("BOOL", [1], 31, 32)}, bytes(32))
    put("valid_empty_header", {})
    put("valid_tensor_without_elements", {"a": tensor("F32", [3, 0, 5], 0, 0), "b": tensor("U8", [2], 0, 2)}, b"ab")
    put("valid_scalar", {"a": tensor("F32", [], 0, 4)}, b"\0\0\x80\x3f")
    put("valid_not_finite", {"a": tensor("F32", [2], 0, 8)}, struct.pack("<ff", float("nan"), float("inf")))
    write("safetensors", "refused_short", b"\x08\0\0\0")
    put("refused_header_past_the_end", {"a": tensor("F32", [2], 0, 8)}, eight, length=1 << 20)
    put("refused_header_length_of_64_bits", {"a": tensor("F32", [2], 0, 8)}, eight, length=(1 << 64) - 1)
    put("refused_offset_past_the_end", {"a": tensor("F32", [4], 0, 16)}, eight)
    put("refused_overlap", {"a": tensor("F32", [2], 0, 8), "b": tensor("F32", [2], 4, 12)}, eight + eight)
    put("refused_gap", {"a": tensor("F32", [1], 4, 8)}, eight)
    put("refused_bytes_behind", {"a": tensor("F32", [1], 0, 4)}, eight)
    put("refused_negative_offset", {"a": tensor("F32", [2], -8, 0)}, eight)
    put("refused_offsets_in_reverse", {"a": tensor("F32", [2], 8, 0)}, eight)
    put("refused_offset_of_64_bits", {"a": tensor("U8", [1], (1 << 64) - 1, (1 << 64) - 1)}, eight)
    put("refused_three_offsets", {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8, 8]}}, eight)
    put("refused_product_overflows", {"a": tensor("F32", [1 << 32, 1 << 32], 0, 0)})
    put("refused_product_overflows_before_a_zero", {"a": tensor("U8", [1 << 62, 3, 0], 0, 0)})
    put("refused_product_overflows_after_a_zero", {"a": tensor("U8", [0, 1 << 62, 3], 0, 0)})
    put("refused_negative_extent", {"a": tensor("F32", [-1, -2], 0, 8)}, eight)
    put("refused_extent_with_a_fraction", b'{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}', eight)
    put("refused_unknown_dtype", {"a": tensor("F4", [2], 0, 1)}, eight)
    put("refused_name_twice", b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},'
                              b'"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}', eight)
    put("refused_invalid_utf8", b'{"\xff\xfe":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}', eight)
    put("refused_control_characters", {"a\x1b[2J\n\u009b2J": tensor("F4", [2], 0, 1)}, eight)
    put("refused_long_name", {"a" * 5000: tensor("F4", [2], 0, 1)}, eight)
    put("refused_deep_lists", b"[" * deep)
    put("refused_deep_objects", b'{"a":' * 2000)
    put("refused_no_object", b"[]")
    put("refused_metadata_that_is_no_object", {"__metadata__": 1})
    put("refused_number_out_of_range", b'{"a":1e999}')
    put("valid_vae_too_wide", vae_shapes(1 << 59))


def zip_of(entries, compression=zipfile.ZIP_STORED):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", compression) as file:
        for name, contents in entries:
            file.writestr(zipfile.ZipInfo(name), contents, compression)
    return archive.getvalue()


class Writer:
    """A pickle of protocol 2, opcode by opcode."""

    def __init__(self):
        self.bytes = b"\x80\x02"

    def op(self, raw):
        self.bytes += raw
        return self

    def text(self, value):
        raw = value.encode()
        return self.op(b"X" + struct.pack("<I", len(raw)) + raw)

    def number(self, value):
        return self.op(b"\x8a\x08" + struct.pack("<q", value))

    def numbers(self, values):
        self.op(b"(")
        for value in values:
            self.number(value)
        return self.op(b"t")

    def tensor(self, shape, strides, offset=0, key="0", elements=16, storage="FloatStorage"):
        self.op(b"ctorch._utils\n_rebuild_tensor_v2\n((").text("storage").op(b"ctorch\n" + storage.encode() + b"\n")
        self.text(key).text("cpu").number(elements).op(b"tQ").number(offset).numbers(shape).numbers(strides)
        return self.op(b"\x89ccollections\nOrderedDict\n)RtR")

    def done(self):
        return self.bytes + b"."


def dict_of(shape, strides, **named):
    return Writer().op(b"}").text("w").tensor(shape, strides, **named).op(b"s").done()


def write_pickles():
    def put(name, contents):
        write("pickle", name, contents)

    put("valid_rows", dict_of([4, 4], [4, 1]))
    put("valid_transposed", dict_of([4, 4], [1, 4]))
    put("valid_without_elements", dict_of([0, 4], [4, 1]))
    put("valid_nested", Writer().op(b"}").text("state_dict").op(b"}").text("w").tensor([2], [1]).op(b"ss").done())
    put("valid_memo", Writer().op(b"}q\0").text("w").tensor([2], [1]).op(b"q\x01s").text("v").op(b"h\x01s").done())
    put("refused_global", Writer().op(b"}").text("w").op(b"cos\nsystem\n").text("true").op(b"\x85Rs").done())
    put("refused_posix_system", pickle.dumps({"w": print}, 2))
    put("refused_protocol_4", pickle.dumps({"w": 1}, 4))
    put("refused_memo_out_of_range", Writer().op(b"}h\x07s").done())
    put("refused_memo_of_32_bits", Writer().op(b"}r\xff\xff\xff\xff").done())
    put("refused_text_past_the_end", b"\x80\x02X\xff\xff\xff\xffabc.")
    put("refused_extent_overflows", dict_of([1 << 62, 4], [1, 1]))
    put("refused_stride_overflows", dict_of([3, 3], [(1 << 63) - 1, 1]))
    put("refused_offset_overflows", dict_of([2], [1], offset=(1 << 63) - 1))
    put("refused_negative_stride", dict_of([2], [-1]))
    put("refused_out_of_its_storage", dict_of([4, 5], [5, 1]))
    put("refused_storage_too_short", dict_of([2], [1], elements=1 << 40))
    put("refused_storage_not_there", dict_of([2], [1], key="../../etc/passwd"))
    put("refused_name_twice", Writer().op(b"}(").text("w").tensor([2], [1]).text("w").tensor([2], [1]).op(b"u").done())
    put("refused_deep_tuples", b"\x80\x02)" + b"\x85" * 2000 + b".")
    put("refused_open_marks", b"\x80\x02" + b"(" * 2000 + b".")
    circle = Writer().op(b"}q\0").text("w").op(b"h\0s").done()
    put("refused_a_dict_within_itself", circle)
    doubling = Writer().op(b"](]q\0")
    for level in range(40):
        doubling.op(b"](h" + bytes([level]) + b"h" + bytes([level]) + b"eq" + bytes([level + 1]))
    put("refused_a_tree_of_2_to_the_40", b"\x80\x02}" + Writer().text("w").bytes[2:] + doubling.bytes[2:] + b"es.")


def write_archives():
    def put(name, contents):
        write("torch_archive", name, contents)

    pickled, storage = dict_of([4, 4], [1, 4]), bytes(64)
    whole = [("m/data.pkl", pickled), ("m/byteorder", b"little"), ("m/data/0", storage), ("m/version", b"3\n")]
    good = zip_of(whole)
    put("valid_archive", good)
    put("valid_usual", (root / "tests/data/pickle/usual.bin").read_bytes())
    put("refused_command", (root / "tests/data/pickle/hostile.bin").read_bytes())
    put("refused_old_format", (root / "tests/data/pickle/legacy.bin").read_bytes())
    put("refused_zip_bomb", zip_of([("m/data.pkl", bytes(1 << 20))], zipfile.ZIP_DEFLATED))
    put("refused_big_endian", zip_of([("m/data.pkl", pickled), ("m/byteorder", b"big"), ("m/data/0", storage)]))
    put("refused_no_pickle", zip_of(whole[1:]))
    put("refused_two_pickles", zip_of(whole + [("n/data.pkl", pickled)]))
    put("refused_entry_twice", zip_of(whole + [("m/data/1", storage)]).replace(b"m/data/1", b"m/data/0"))
    put("refused_cut", good[:-30])
    put("refused_directory_past_the_end", good[:-6] + struct.pack("<IH", 0xFFFFFF00, 0))
    at = good.rindex(b"PK\1\2")
    put("refused_entry_past_the_end", good[:at + 20] + struct.pack("<II", 1 << 30, 1 << 30) + good[at + 28:])
    put("refused_sizes_in_64_bits_missing", good[:at + 20] + b"\xff" * 8 + good[at + 28:])
    put("refused_encrypted", good[:at + 8] + b"\1\0" + good[at + 10:])
    first = good.index(b"PK\1\2")
    put("refused_header_of_another", good[:at + 42] + good[first + 42:first + 46] + good[at + 46:])
    # Two entries of one length whose headers lie within one another: the second in the contents of the first.
    inner = zip_of([("m/data/1", storage)])
    outer = zip_of([("m/data.pkl", pickled), ("m/data/0", inner[:inner.index(b"PK\1\2")]), ("m/data/1", storage)])
    last = outer.rindex(b"PK\1\2")
    within = outer.index(b"m/data/1") - 30
    put("refused_overlapping_entries", outer[:last + 42] + struct.pack("<I", within) + outer[last + 46:])


def files(**contents):
    parts = []
    for name, text in contents.items():
        parts.append(b"=== " + name.replace("__", "/").replace("_dot_", ".").replace("_dash_", "-").encode() + b"\n" +
                     (text if isinstance(text, bytes) else json.dumps(text).encode()))
    return b"\n".join(parts)


def write_model_folders():
    index, one, two = "model_dot_safetensors_dot_index_dot_json", "model_dash_1_dot_safetensors", \
        "model_dash_2_dot_safetensors"
    shard = {name: safetensors({name: tensor("F32", [2], 0, 8)}, b"12345678") for name in "ab"}
    places = {"a": "model-1.safetensors", "b": "model-2.safetensors"}

    def put(name, weight_map, **more):
        contents = {"config_dot_json": {"hidden_size": 1}, index: weight_map, one: shard["a"], two: shard["b"]} | more
        write("model_folder", name, files(**contents))

    def placed(place):
        return {"weight_map": {"a": place}}

    put("valid_two_shards", {"metadata": {"total_size": 16}, "weight_map": places})
    put("valid_defaults", {"weight_map": places}, config_dot_json={}, scheduler__scheduler_config_dot_json={
        "solver": "euler", "reverse": False})
    put("refused_absolute_path", placed("/etc/passwd"))
    put("refused_path_upwards", placed("../model-1.safetensors"))
    put("refused_dot_dot", placed(".."))
    put("refused_path_downwards", placed("shards/model-1.safetensors"))
    put("refused_backslash", placed("..\\model-1.safetensors"))
    put("refused_nul", placed("model-1.safetensors\0.json"))
    put("refused_empty_name", placed(""))
    put("refused_long_name", placed("m" * 5000))
    put("refused_control_characters", placed("\x1b[2J\n/"))
    put("refused_itself", placed("model.safetensors.index.json"))
    put("refused_shard_not_there", placed("model-3.safetensors"))
    put("refused_tensor_in_the_wrong_shard", {"weight_map": {"a": "model-2.safetensors"}})
    put("refused_place_that_is_no_text", placed(["model-1.safetensors"]))
    put("refused_no_weight_map", {"metadata": {}})
    put("refused_deep_index", b'{"weight_map":' + b"[" * deep)
    put("refused_tensor_twice", b'{"weight_map":{"a":"model-1.safetensors","a":"model-1.safetensors"}}')
    put("refused_cut_shard", {"weight_map": places}, **{one: shard["a"][:-1]})
    put("refused_solver", {"weight_map": places}, scheduler__scheduler_config_dot_json={"solver": "\x1b]0;heun\7"})
    put("refused_frames", {"weight_map": places}, model_index_dot_json={"generation": {"frames": 1e300}})


def write_configs():
    transformer = {"num_attention_heads": 2, "attention_head_dim": 64, "num_layers": 2, "in_channels": 4,
                   "out_channels": 4, "caption_channels": [32, 16], "patch_size": 1}
    llm = {"hidden_size": 32, "num_attention_heads": 4, "num_attention_groups": 2, "num_layers": 2,
           "padded_vocab_size": 64, "layernorm_epsilon": 1e-5, "ffn_hidden_size": 64}
    clip = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 64,
            "vocab_size": 64, "max_position_embeddings": 77, "layer_norm_eps": 1e-12, "hidden_act": "gelu"}
    for name, config in (("transformer", transformer), ("step_llm", llm), ("clip", clip)):
        write("config", "valid_" + name, json.dumps(config))

    def put(name, config, **changes):
        write("config", "refused_" + name, json.dumps(config | changes))

    put("heads_of_32_bits", transformer, num_attention_heads=1 << 31)
    put("width_overflows", transformer, num_attention_heads=1 << 17, attention_head_dim=1 << 17)
    put("many_layers", transformer, num_layers=1 << 17)
    put("negative_width", llm, hidden_size=-32)
    put("no_heads", llm, num_attention_heads=0)
    put("number_with_a_fraction", clip, vocab_size=64.5)
    put("epsilon", clip, layer_norm_eps=1e300)
    put("activation", clip, hidden_act="\x1b[2J" * 1000)
    put("captions", transformer, caption_channels=[1, -1])
    write("config", "refused_nothing", b"")
    write("config", "refused_deep", b"[" * 2000)
    write("config", "refused_name_twice", b'{"num_layers":1,"num_layers":2}')
    write("config", "refused_invalid_utf8", b'{"hidden_act":"\xc3\x28"}')


def varint(value):
    raw = b""
    while value > 127:
        raw += bytes([value & 127 | 128])
        value >>= 7
    return raw + bytes([value])


def message(number, contents):
    return varint(number << 3 | 2) + varint(len(contents)) + contents


def charsmap(units, normalized):
    trie = struct.pack(f"<{len(units)}I", *units)
    return struct.pack("<I", len(trie)) + trie + normalized


def sentencepiece(model_type=1, pieces=("<unk>", "<s>", "</s>", "\u2581", "\u2581a", "red", "r", "e", "d"), charsmap=None,
                  unknown=True, score=-1.0, tail=b"", byte_fallback=False):
    model = b""
    for i, piece in enumerate(pieces):
        kind = 2 if unknown and i == 0 else 3 if i in (1, 2) else 6 if piece.startswith("<0x") else 1
        model += message(1, message(1, piece.encode("utf-8", "surrogateescape")) +
                         b"\x15" + struct.pack("<f", score * i) + b"\x18" + varint(kind))
    trainer = b"\x18" + varint(model_type) + (varint(35 << 3) + b"\1" if byte_fallback else b"")
    normalizer = b"" if charsmap is None else message(2, charsmap)
    return model + message(2, trainer) + message(3, normalizer) + tail


def write_sentencepieces():
    def put(name, *arguments, **named):
        write("sentencepiece", name, sentencepiece(*arguments, **named))

    put("valid_unigram")
    put("valid_bpe", 2)
    put("valid_word", 3)
    put("valid_char", 4)
    bytes_pieces = tuple(f"<0x{i:02X}>" for i in range(256))
    put("valid_byte_fallback", 2, ("<unk>", "<s>", "</s>") + bytes_pieces, byte_fallback=True)
    # A trie of the one key "A", whose replacement is "a".
    units = [0] * 512
    units[0] = 0x100 << 10
    units[0x141] = 0x41 | 1 << 8 | 3 << 10
    units[0x142] = 1 << 31 | 0
    put("valid_normalization", charsmap=charsmap(units, b"a\0"))
    far = units.copy()
    far[0] = 1 << 9 | 0x1FFFFF << 10
    put("refused_trie_that_leaves_its_array", charsmap=charsmap(far, b"a\0"))
    far = units.copy()
    far[0x142] = 1 << 31 | 1 << 30
    put("refused_replacement_past_the_end", charsmap=charsmap(far, b"a\0"))
    put("refused_replacement_without_an_end", charsmap=charsmap(units, b"aa"))
    put("refused_trie_longer_than_the_map", charsmap=struct.pack("<I", 1 << 20) + bytes(2048))
    put("refused_trie_of_a_few_bytes", charsmap=struct.pack("<I", 4) + bytes(6))
    put("refused_normalization_in_the_second_of_two", tail=message(3, message(2, charsmap(far, b"a\0"))))
    put("refused_piece_twice", pieces=("<unk>", "<s>", "</s>", "a", "a"))
    put("refused_empty_piece", pieces=("<unk>", "<s>", "</s>", ""))
    put("refused_no_unknown_piece", unknown=False)
    put("refused_no_pieces", pieces=())
    write("sentencepiece", "refused_text", b"no model")
    write("sentencepiece", "refused_nothing", b"")
    put("refused_piece_of_nul", pieces=("<unk>", "<s>", "</s>", "\0\0"))
    put("odd_scores", score=float("nan"))
    put("odd_infinite_scores", score=float("-inf"))
    put("odd_invalid_utf8", pieces=("<unk>", "<s>", "</s>", "\udcff\udcfe"))


def write_vocabularies():
    special = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n"
    write("vocabulary", "valid_words", special + "[MASK]\na\nred\ncir\n##cle\n\u4e00\ncafe\n!\n")
    write("vocabulary", "valid_carriage_returns", (special + "a\n").replace("\n", "\r\n"))
    write("vocabulary", "valid_invalid_utf8", special.encode() + b"\xff\xfe\n##\xc0\n\n\n")
    write("vocabulary", "valid_nul", special.encode() + b"a\0b\n")
    write("vocabulary", "valid_twice", special + "a\na\n")
    write("vocabulary", "refused_no_special_tokens", "a\nb\n")
    write("vocabulary", "refused_nothing", "")
    write("vocabulary", "refused_one_long_line", special.replace("\n", "") * 1000)


def write_event_logs():
    def line(**event):
        return json.dumps({"time": 0.5, "rank": 0, "stage": "denoise", "event": "begin"} | event)

    def put(name, *lines):
        write("event_log", name, "\n".join(lines) + "\n")

    events = root / "tests/data/events"
    for name in ("two_ranks", "stuck", "straggler"):
        parts = sorted((events / name).glob("*.ndjson"))
        write("event_log", "valid_" + name, b"".join(part.read_bytes() for part in parts))
    write("event_log", "valid_unknown_fields", (events / "unknown_fields.ndjson").read_bytes())
    write("event_log", "valid_cut", line() + "\n" + line(event="end", time=2, seconds=1.5)[:-4])
    put("valid_large_numbers", line(time=1e18), line(event="end", time=1e18, seconds=1e18, bytes=(1 << 64) - 1,
                                                     peak_bytes=(1 << 64) - 1, step=-(1 << 31), layer=(1 << 31) - 1))
    put("valid_facts", line(run={"start": 1e308, "threads": "1e308", "memory_bytes": -1, "ranks": 1e300, "x": [1]}),
        line(rank=1, run={"start": -1e308}), line(rank=(1 << 31) - 1))
    put("valid_control_characters", line(stage="\x1b[2J\u009b2J\n", op="\x7f", run={"\n": "\x07"}),
        line(event="error", message="\x1b]0;owned\x07"))
    put("valid_steps", *[line(event="step", step=i, seconds=0.1, time=i) for i in range(12)])
    put("refused_time_that_is_too_large", line(time=1e300))
    put("refused_negative_seconds", line(event="end", seconds=-1))
    put("refused_rank_below_0", line(rank=-1))
    put("refused_rank_of_64_bits", line(rank=1 << 40))
    put("refused_no_stage", '{"time":1,"rank":0,"event":"begin"}')
    put("refused_name_twice", '{"time":1,"time":2,"rank":0,"stage":"a","event":"begin"}', line())
    put("refused_list", "[]", line())
    put("refused_unknown_events_alone", line(event="\x1b"))
    write("event_log", "refused_deep", line() + "\n" + "[" * deep + "\n" + line() + "\n")
    write("event_log", "refused_invalid_utf8", b'{"time":1,"rank":0,"stage":"\xff","event":"begin"}\n' * 2)
    write("event_log", "refused_nothing", b"\n\n")
    write("event_log", "refused_nul", b"\0" * 100)


def write_hardware():
    plan = root / "reference/plan"
    for name in ("h100", "cpu", "a100"):
        write("hardware", "valid_" + name, (plan / f"hardware/{name}.json").read_bytes())
    write("hardware", "valid_nvlink", (plan / "links/nvlink.json").read_bytes())
    h100 = json.loads((plan / "hardware/h100.json").read_text())
    link = json.loads((plan / "links/nvlink.json").read_text())

    def sourced(value):
        return {"value": value, "source": "none"}

    for kind, good, field in (("gpu", h100, "memory_bytes"), ("link", link, "latency_seconds")):
        for name, value in (("0", 0), ("negative", -1), ("tiny", 1e-300), ("huge", 1e300), ("text", "1"), ("null", None)):
            write("hardware", f"refused_{kind}_{name}", json.dumps(good | {field: sourced(value)}))
    write("hardware", "valid_gpu_small_numbers", json.dumps(
        h100 | {name: sourced(1e-12) for name, value in h100.items() if isinstance(value, dict) and "value" in value}))
    write("hardware", "valid_gpu_control_characters", json.dumps(h100 | {"name": "\x1b[2J\n", "link": "\x1b[2J"}))
    write("hardware", "refused_number_without_source", json.dumps(h100 | {"memory_bytes": 1e9}))
    write("hardware", "refused_list", "[]")
    write("hardware", "refused_deep", "[" * 2000)
    write("hardware", "refused_name_twice", '{"name":"a","name":"b"}')


def write_machine_facts():
    machines = root / "tests/data/machines"
    for name in ("laptop_without_gpu", "a100_x2_busy_and_throttled", "rtx4090_x3_no_peers"):
        facts = json.loads((machines / f"{name}.json").read_text())
        write("machine_facts", "valid_" + name, json.dumps(facts))
    facts = json.loads((machines / "a100_x2_busy_and_throttled.json").read_text())

    def put(name, **changes):
        changed = json.loads(json.dumps(facts))
        for place, value in changes.items():
            part = changed
            *way, last = place.split("__")
            for step in way:
                part = part[int(step) if step.isdigit() else step]
            part[int(last) if last.isdigit() else last] = value
        write("machine_facts", name, json.dumps(changed))

    put("valid_control_characters", host__processor="\x1b[2J\n", gpus__0__name="\u009b2J")
    put("valid_extremes", host__memory_bytes=(1 << 64) - 1, host__cores=(1 << 31) - 1, gpus__0__memory_bytes=0,
        gpus__0__clock_mhz=-(1 << 31), gpus__0__most_clock_mhz=0, gpus__0__temperature=(1 << 31) - 1)
    put("valid_odd_versions", driver__version="580." * 100, driver__cuda="99999999999999999999.1",
        gpus__0__compute_capability="", build__cuda="..")
    put("refused_link_to_nowhere", links__0__to=7)
    put("refused_link_below_0", links__0__from=-1)
    put("refused_no_cores", host__cores=0)
    put("refused_memory_below_0", host__memory_bytes=-1)
    put("refused_cores_of_64_bits", host__cores=1 << 40)
    put("refused_variable_with_a_command", environment={"A=1; rm -rf ~ #": "1"})
    put("refused_format", format=2)
    put("refused_gpus_that_are_no_list", gpus={})
    write("machine_facts", "refused_list", "[]")
    write("machine_facts", "refused_deep", "[" * 2000)


def write_manifests():
    def put(name, text):
        write("manifest", name, text if isinstance(text, (str, bytes)) else json.dumps(text))

    put("valid_manifest", {"stepvideo": "0.1.0", "prompt": "a red circle", "seed": 1, "stages": {"denoise": 0.25}})
    put("valid_invalid_characters", {"stepvideo": "\u0080\x1b[2J", "prompt": "\u009b"})
    put("valid_odd_types", {"stepvideo": "", "prompt": [1], "seed": -1, "frames": 1e300, "steps": None})
    put("refused_comment", "encoded by somebody else")
    put("refused_other_object", {"prompt": "a red circle"})
    put("refused_version_that_is_a_number", {"stepvideo": 1})
    put("refused_name_twice", '{"stepvideo":"1","stepvideo":"2"}')
    put("refused_deep", '{"stepvideo":' + "[" * 2000)
    put("refused_invalid_utf8", b'{"stepvideo":"\xff"}')
    put("refused_list", "[]")


def write_prompts():
    def put(name, *lines):
        write("prompts", name, b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines))

    put("valid_plain", "a red circle moves up\r", "", "\u4e00\u4e2a\u84dd\u8272\u7684\u65b9\u5757", "  spaces around  ")
    put("valid_every_field", json.dumps({"prompt": "a blue square", "negative": "red", "seed": (1 << 64) - 1, "frames": 17,
                                         "height": 32, "width": 32, "steps": 2, "cfg_scale": 4.5, "time_shift": 13,
                                         "output": "square.mp4"}), "a plain line")
    put("valid_control_characters", "a \x1b[2J circle", json.dumps({"prompt": "\u009b2J"}))
    put("valid_empty_prompt", '{"prompt": ""}')
    put("refused_nothing")
    put("refused_blank_lines", "", " ", "\t")
    put("refused_invalid_utf8", b"a red \xff circle")
    put("refused_cut", '{"prompt": "a red circle"')
    put("refused_deep", '{"prompt":' + "[" * 2000)
    put("refused_name_twice", '{"prompt": "a", "prompt": "b"}')
    put("refused_no_prompt", '{"seed": 1}')
    put("refused_unknown_field", '{"prompt": "a", "stepps": 3}')
    put("refused_unknown_control_characters", '{"prompt": "a", "\\u001b[2J\\u009b": 3}')
    put("refused_fraction", '{"prompt": "a", "steps": 2.5}')
    put("refused_seed_below_0", '{"prompt": "a", "seed": -1}')
    put("refused_frames_of_64_bits", '{"prompt": "a", "frames": 4294967313}')
    put("refused_number_out_of_range", '{"prompt": "a", "cfg_scale": 1e999}')
    put("refused_path_upwards", '{"prompt": "a", "output": "../v.mp4"}')
    put("refused_absolute_path", '{"prompt": "a", "output": "/v.mp4"}')
    put("refused_path_of_nul", '{"prompt": "a", "output": "v\\u0000/../../w.mp4"}')


write_safetensors()
write_pickles()
write_archives()
write_model_folders()
write_configs()
write_sentencepieces()
write_vocabularies()
write_event_logs()
write_hardware()
write_machine_facts()
write_manifests()
write_prompts()
