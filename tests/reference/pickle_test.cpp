// PyTorch's files: what they hold is read, and nothing in them runs.
#define BOOST_TEST_MODULE pickle
#include "io/pickle.hpp"

#include <cstring>
#include <limits>
#include <random>

#include <boost/test/unit_test.hpp>
#include <fmt/format.h>

#include "io/checkpoint.hpp"
#include "io/json.hpp"
#include "io/stored_tensors.hpp"
#include "reference/torch_writer.hpp"
#include "support/random_input.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::io;
using namespace stepvideo::testing;

namespace {

const std::filesystem::path data = STEPVIDEO_TEST_DATA "/pickle";
const std::string four_floats = bytes_of(1.0f) + bytes_of(2.0f) + bytes_of(3.0f) + bytes_of(4.0f);
const PickledTensor vector_of_four{.key = "0", .storage_elements = 4, .shape = {4}, .strides = {1}};

struct Fixture {
  ScratchFolder folder;

  Checkpoint open(const std::string& file) {
    return Checkpoint::open(folder.write("pytorch_model.bin", file));
  }
  void refuses(const std::string& file, std::vector<std::string> phrases) {
    phrases.emplace_back("pytorch_model.bin");
    check_refused([&] { open(file); }, phrases);
  }
  /// The dict {"a": VALUE} with one storage of four floats.
  void refuses_value(PickleWriter value, const std::vector<std::string>& phrases) {
    refuses(torch_file(value.op("s").finish(), {{"0", four_floats}}), phrases);
  }
  void refuses_tensor(const PickledTensor& tensor, std::vector<std::string> phrases) {
    phrases.emplace_back(R"(tensor "a")");
    refuses_value(PickleWriter().op("}").text("a").tensor(tensor), phrases);
  }
  void refuses_pickle(const std::string& pickle, const std::vector<std::string>& phrases) {
    refuses(torch_file(pickle, {}), phrases);
  }
};

PickleWriter value_of_a() {
  return PickleWriter().op("}").text("a");
}

std::vector<float> floats(const Checkpoint& checkpoint, const std::string& name) {
  const auto values = checkpoint.load<float>(name);
  return {values.begin(), values.end()};
}

void check_values(const Checkpoint& checkpoint, const std::string& name, const Shape& shape,
                  const std::vector<float>& expected) {
  BOOST_TEST_CONTEXT(name) {
    BOOST_TEST(checkpoint.at(name).shape == shape, boost::test_tools::per_element());
    const auto values = floats(checkpoint, name);
    BOOST_TEST(values == expected, boost::test_tools::per_element());
  }
}

std::string pickle_of_four() {
  return value_of_a().tensor(vector_of_four).op("s").finish();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(files_that_pytorch_wrote)

BOOST_AUTO_TEST_CASE(a_state_dict_is_read) {
  const auto checkpoint = Checkpoint::open(data / "usual.bin");
  BOOST_CHECK_EQUAL(checkpoint.tensors().size(), 2u);
  check_values(checkpoint, "weight", {2, 3}, {0, 1, 2, 3, 4, 5});
  check_values(checkpoint, "bias", {2}, {6, 7});
}

BOOST_AUTO_TEST_CASE(shared_strided_nested_and_empty_tensors_are_read) {
  const auto checkpoint = Checkpoint::open(data / "odd.bin");
  BOOST_CHECK_EQUAL(checkpoint.tensors().size(), 20u);
  std::vector<float> count(24), transposed(24);
  for (int i = 0; i < 24; ++i) count[static_cast<std::size_t>(i)] = static_cast<float>(i);
  for (std::size_t i = 0; i < 24; ++i) transposed[i] = static_cast<float>(i % 4 * 6 + i / 4);
  check_values(checkpoint, "whole", {4, 6}, count);
  check_values(checkpoint, "transposed", {6, 4}, transposed);
  check_values(checkpoint, "window", {2, 3}, {8, 9, 10, 14, 15, 16});
  check_values(checkpoint, "last_row", {6}, {18, 19, 20, 21, 22, 23});
  check_values(checkpoint, "broadcast", {2, 3}, {7, 7, 7, 8, 8, 8});
  check_values(checkpoint, "parameter", {1}, {1.5f});
  check_values(checkpoint, "empty", {0, 5}, {});
  check_values(checkpoint, "scalar", {}, {2.5f});
  check_values(checkpoint, "nested.list.0", {1}, {3});
  check_values(checkpoint, "nested.list.1.0", {1}, {4});
  check_values(checkpoint, "nested.5", {1}, {5});
}

BOOST_AUTO_TEST_CASE(every_type_of_storage_is_read) {
  const auto checkpoint = Checkpoint::open(data / "odd.bin");
  for (const auto& [name, dtype] :
       {std::pair{"double", Dtype::f64}, {"half", Dtype::f16}, {"bfloat", Dtype::bf16}}) {
    BOOST_CHECK(checkpoint.at(name).dtype == dtype);
    check_values(checkpoint, name, {2}, {1, -2});
  }
  for (const auto& [name, dtype, second] : {std::tuple{"int", Dtype::i32, -2},
                                            {"short", Dtype::i16, -2},
                                            {"char", Dtype::i8, -2},
                                            {"byte", Dtype::u8, 200},
                                            {"bool", Dtype::boolean, 0}}) {
    BOOST_CHECK(checkpoint.at(name).dtype == dtype);
    const auto values = checkpoint.load_integers(name);
    BOOST_CHECK(values.size() == 2 && values[0] == 1 && values[1] == second);
  }
  std::int64_t second = 0;
  std::memcpy(&second, checkpoint.at("long").bytes.data() + 8, 8);
  BOOST_CHECK_EQUAL(second, -(std::int64_t{1} << 40));
}

BOOST_AUTO_TEST_CASE(a_file_that_would_run_a_command_is_refused_naming_it) {
  check_refused([&] { Checkpoint::open(data / "hostile.bin"); },
                {"hostile.bin", "opcode GLOBAL at byte", R"("posix.system")", "nothing is run"});
  check_refused([&] { Checkpoint::open(data / "size.bin"); }, {R"("torch.Size")"});
}

BOOST_AUTO_TEST_CASE(the_format_before_1_6_is_refused_by_name) {
  check_refused([&] { Checkpoint::open(data / "legacy.bin"); },
                {"legacy.bin", "before version 1.6", "torch.save"});
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(files_byte_by_byte, Fixture)

BOOST_AUTO_TEST_CASE(a_plain_and_a_64_bit_archive_are_read) {
  for (const bool is_wide : {false, true})
    check_values(open(torch_file(pickle_of_four(), {{"0", four_floats}}, is_wide)), "a", {4}, {1, 2, 3, 4});
}

BOOST_AUTO_TEST_CASE(a_comment_behind_the_archive_is_allowed) {
  std::string file = torch_file(pickle_of_four(), {{"0", four_floats}});
  file[file.size() - 2] = 5;
  check_values(open(file + "hello"), "a", {4}, {1, 2, 3, 4});
}

BOOST_AUTO_TEST_CASE(the_values_lie_in_the_mapped_file) {
  const auto checkpoint = open(torch_file(pickle_of_four(), {{"0", four_floats}}));
  std::filesystem::remove(folder / "pytorch_model.bin");
  check_values(checkpoint, "a", {4}, {1, 2, 3, 4});
}

BOOST_AUTO_TEST_CASE(strided_tensors_of_any_shape_equal_those_that_were_indexed_one_by_one) {
  std::mt19937 engine(5);
  for (int round = 0; round < 200; ++round) {
    PickledTensor tensor{.key = "0", .offset = random_int(engine, 0, 3)};
    const int axes = random_int(engine, 0, 4);
    std::int64_t last = tensor.offset;
    for (int axis = 0; axis < axes; ++axis) {
      tensor.shape.push_back(random_int(engine, 1, 4));
      tensor.strides.push_back(random_int(engine, 0, 7));
      last += (tensor.shape.back() - 1) * tensor.strides.back();
    }
    tensor.storage_elements = last + 1;
    std::string storage;
    for (std::int64_t i = 0; i <= last; ++i) storage += bytes_of(static_cast<float>(i));
    std::vector<float> expected(static_cast<std::size_t>(element_count(tensor.shape)));
    for (std::size_t i = 0; i < expected.size(); ++i) {
      std::int64_t at = tensor.offset, rest = static_cast<std::int64_t>(i);
      for (std::size_t axis = tensor.shape.size(); axis-- > 0; rest /= tensor.shape[axis])
        at += rest % tensor.shape[axis] * tensor.strides[axis];
      expected[i] = static_cast<float>(at);
    }
    check_values(open(torch_file(value_of_a().tensor(tensor).op("s").finish(), {{"0", storage}})), "a",
                 tensor.shape, expected);
  }
}

BOOST_AUTO_TEST_CASE(shards_are_joined_by_their_index) {
  const auto file = [](const std::string& name) {
    return torch_file(PickleWriter().op("}").text(name).tensor(vector_of_four).op("s").finish(),
                      {{"0", four_floats}});
  };
  folder.write("pytorch_model-00001-of-00002.bin", file("a"));
  folder.write("pytorch_model-00002-of-00002.bin", file("b"));
  const Json places{{"a", "pytorch_model-00001-of-00002.bin"}, {"b", "pytorch_model-00002-of-00002.bin"}};
  const auto index = folder.write("pytorch_model.bin.index.json", Json{{"weight_map", places}}.dump());
  BOOST_CHECK_EQUAL(Checkpoint::open(folder.path()).tensors().size(), 2u);
  BOOST_CHECK_EQUAL(Checkpoint::open(index).tensors().size(), 2u);
}

BOOST_AUTO_TEST_CASE(whatever_is_cut_off_the_file_is_refused) {
  const std::string file = torch_file(pickle_of_four(), {{"0", four_floats}});
  for (std::size_t size = 1; size < file.size(); ++size)
    check_refused([&] { open(file.substr(0, size)); }, {"pytorch_model.bin"});
}

BOOST_AUTO_TEST_CASE(a_changed_byte_is_refused_or_read_and_never_more) {
  const std::string file = torch_file(pickle_of_four(), {{"0", four_floats}});
  std::mt19937 engine(6);
  for (std::size_t at = 0; at < file.size(); ++at)
    for (const int change : {0x01, 0x80, 0xFF, random_int(engine, 1, 255)}) {
      std::string changed = file;
      changed[at] = static_cast<char>(changed[at] ^ change);
      try {
        const auto checkpoint = open(changed);
        for (const auto& [name, record] : checkpoint.tensors())
          BOOST_CHECK_LE(record.bytes.size(), changed.size());
      } catch (const RequestError&) {
      }
    }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(hostile_pickles, Fixture)

BOOST_AUTO_TEST_CASE(every_global_but_those_of_tensors_is_refused_by_name) {
  for (const auto& [module, name] : {std::pair{"os", "system"},
                                     {"builtins", "eval"},
                                     {"torch", "load"},
                                     {"torch.hub", "load"},
                                     {"torch._utils", "_rebuild_tensor_v3"},
                                     {"collections", "defaultdict"},
                                     {"__builtin__", "getattr"}})
    refuses_value(value_of_a().global(module, name).text("echo").op("\x85R"),
                  {"opcode GLOBAL at byte 9", fmt::format("\"{}.{}\"", module, name)});
}

BOOST_AUTO_TEST_CASE(opcodes_that_tensors_do_not_need_are_refused_by_name_and_place) {
  for (const auto& [code, name] : {std::pair{"i", "INST"},
                                   {"o", "OBJ"},
                                   {"\x81", "NEWOBJ"},
                                   {"\x92", "NEWOBJ_EX"},
                                   {"\x93", "STACK_GLOBAL"},
                                   {"\x82", "EXT1"},
                                   {"\x8b", "LONG4"},
                                   {"V", "UNICODE"},
                                   {"I", "INT"},
                                   {"P", "PERSID"},
                                   {"2", "DUP"},
                                   {"\x95", "FRAME"},
                                   {"\x8e", "BINBYTES8"},
                                   {"\xff", "0xff"}})
    refuses_value(value_of_a().op(code), {fmt::format("opcode {} at byte 9", name)});
}

BOOST_AUTO_TEST_CASE(calls_of_what_is_no_function_are_refused) {
  refuses_value(value_of_a().text("os.system").op(")R"), {"opcode REDUCE", "calls the text"});
  refuses_value(value_of_a().global("torch", "FloatStorage").op(")R"), {"torch.FloatStorage", "no function"});
  refuses_value(value_of_a().global("torch._utils", "_rebuild_tensor_v2").op(")R"),
                {"described by 0 values"});
  refuses_value(value_of_a().global("torch._utils", "_rebuild_tensor_v2").text("x").op("R"), {"a tuple"});
  refuses_value(value_of_a().global("torch._utils", "_rebuild_parameter").op(")R"), {"without a tensor"});
  refuses_value(value_of_a().global("collections", "OrderedDict").text("x").op("\x85R"), {"with arguments"});
  refuses_value(value_of_a().tensor(vector_of_four).op("}b"), {"opcode BUILD", "only dicts"});
}

BOOST_AUTO_TEST_CASE(other_protocols_are_refused) {
  for (const int protocol : {0, 1, 3, 4, 5})
    refuses_pickle(std::string("\x80") + static_cast<char>(protocol) + "}.",
                   {fmt::format("protocol {}", protocol), "2, which torch.save writes"});
  refuses_pickle("(dp0\n.", {"no pickle of protocol 2"});
  refuses_pickle("", {"no pickle"});
}

BOOST_AUTO_TEST_CASE(the_memo_is_bounded_and_gives_only_what_was_put) {
  refuses_value(value_of_a().op("Nr").op(bytes_of(0xFFFF'FFFFu)), {"LONG_BINPUT", "place 4294967295"});
  refuses_value(value_of_a().op("h\x07"), {"BINGET", "place 7"});
  refuses_value(value_of_a().op("Nr").op(bytes_of(100u)).op("0"), {"opcode POP"});
  refuses_value(value_of_a().op("Nr").op(bytes_of(100u)).op("h\x07"), {"place 7", "nothing was put"});
}

BOOST_AUTO_TEST_CASE(the_stack_gives_only_what_it_holds) {
  refuses_pickle("\x80\x02.", {"opcode STOP at byte 2", "one value"});
  refuses_pickle("\x80\x02}}.", {"one value"});
  refuses_pickle("\x80\x02(}.", {"one value"});
  refuses_pickle("\x80\x02R.", {"REDUCE", "needs 2 values where 0"});
  refuses_pickle("\x80\x02Nq", {"BINPUT", "needs 1 bytes where 0 are left"});
  refuses_pickle("\x80\x02}u.", {"SETITEMS", "no mark"});
  refuses_pickle("\x80\x02}(Nu.", {"SETITEMS", "a key without a value"});
  refuses_pickle("\x80\x02](NNu.", {"adds to a list", "no dict"});
  refuses_pickle("\x80\x02}}.}", {"STOP"});
  refuses_pickle("\x80\x02}.}", {"followed by 1 bytes"});
}

BOOST_AUTO_TEST_CASE(lengths_past_the_end_allocate_nothing) {
  refuses_pickle("\x80\x02X\xff\xff\xff\xff", {"BINUNICODE at byte 2", "4294967295 bytes where 0 are left"});
  refuses_pickle("\x80\x02U\xff", {"SHORT_BINSTRING", "255 bytes"});
  refuses_pickle("\x80\x02\x8a\xff", {"LONG1"});
  refuses_pickle(
      "\x80\x02"
      "cos",
      {"GLOBAL", "no end of line"});
}

BOOST_AUTO_TEST_CASE(integers_of_more_than_64_bits_are_refused) {
  refuses_pickle(
      "\x80\x02\x8a\x09"
      "123456789.",
      {"LONG1", "64 bits"});
}

BOOST_AUTO_TEST_CASE(deep_nesting_is_refused) {
  refuses_pickle("\x80\x02" + std::string(1'000'000, '('), {"MARK at byte 66", "at most 64"});
  std::string pickle = "\x80\x02";
  for (int i = 0; i < 100'000; ++i) pickle += "}X" + bytes_of(1u) + "a";
  refuses_pickle(pickle + "N" + std::string(100'000, 's') + ".", {"deeper than 64"});
}

BOOST_AUTO_TEST_CASE(containers_that_hold_themselves_or_multiply_are_refused) {
  refuses_pickle(
      "\x80\x02}q" + std::string(1, '\0') + "X" + bytes_of(1u) + "ah" + std::string(1, '\0') + "s.",
      {"deeper than 64"});
  std::string doubled = "\x80\x02}X" + bytes_of(1u) + "a]";  // 40 lists, each twice in the next
  for (char i = 0; i < 40; ++i) doubled += std::string("q") + i + "h" + i + "\x86";
  refuses_pickle(doubled + "s.", {"more values than a file of tensors can need"});
}

BOOST_AUTO_TEST_CASE(too_many_values_are_refused) {
  refuses_pickle("\x80\x02" + std::string(2'000'000, ']'),
                 {"EMPTY_LIST at byte 1048578", "one value too many"});
  refuses_pickle("\x80\x02Nq" + std::string(1, '\0') +
                     [] {
                       std::string gets;
                       for (int i = 0; i < 1'100'000; ++i) gets += std::string("h") + '\0';
                       return gets;
                     }(),
                 {"BINGET", "on the stack"});
}

BOOST_AUTO_TEST_CASE(names_are_checked) {
  const auto two = [](const std::string& first, const std::string& second) {
    return torch_file(PickleWriter()
                          .op("}(")
                          .text(first)
                          .tensor(vector_of_four)
                          .text(second)
                          .tensor(vector_of_four)
                          .op("u")
                          .finish(),
                      {{"0", four_floats}});
  };
  refuses(two("a", "a"), {R"(tensor "a" is there twice)"});
  refuses(two("a", std::string(2000, 'x')), {"more than 1024 bytes"});
  refuses_pickle("\x80\x02}NNs.", {"None as a key"});
  refuses_pickle("\x80\x02].", {"a list", "a dict of tensors"});
  refuses_pickle("\x80\x02}.", {"holds no tensors"});
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(hostile_tensors, Fixture)

BOOST_AUTO_TEST_CASE(tensors_stay_within_their_storage) {
  constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  auto broken = [](auto change) {
    PickledTensor tensor = vector_of_four;
    change(tensor);
    return tensor;
  };
  refuses_tensor(broken([](auto& t) { t.offset = 1; }), {"reaches out of its storage of 4"});
  refuses_tensor(broken([](auto& t) { t.offset = huge; }), {"reaches out"});
  refuses_tensor(broken([](auto& t) { t.offset = -1; }), {"the number -1"});
  refuses_tensor(broken([](auto& t) { t.strides = {2}; }), {"shape [4] and strides [2]"});
  refuses_tensor(broken([](auto& t) { t.strides = {-1}; }), {"the number -1"});
  refuses_tensor(broken([](auto& t) { t.strides = {huge}; }), {"reaches out"});
  refuses_tensor(broken([](auto& t) { t.strides = {}; }), {"reaches out"});
  refuses_tensor(broken([](auto& t) { t.shape = {5}; }), {"reaches out"});
  refuses_tensor(broken([](auto& t) { t.shape = {huge}; }), {"reaches out"});
  refuses_tensor(broken([](auto& t) {
                   t.shape = {1LL << 31, 1LL << 31};
                   t.strides = {0, 0};
                 }),
                 {"reaches out"});
  refuses_tensor(broken([](auto& t) {
                   t.shape = {0};
                   t.offset = 5;
                 }),
                 {"reaches out"});
  refuses_tensor(broken([](auto& t) {
                   t.shape.assign(65, 1);
                   t.strides.assign(65, 1);
                 }),
                 {"at most 64"});
}

BOOST_AUTO_TEST_CASE(arguments_that_change_the_values_are_refused) {
  // A tensor's seventh argument: marks that a reader must obey, as that the values are to be negated.
  const auto tensor_with = [](const std::string& more) {
    PickleWriter value = value_of_a();
    value.global("torch._utils", "_rebuild_tensor_v2").op("(").storage(vector_of_four).integer(0);
    value.integers({4}).integers({1}).op("\x89").global("collections", "OrderedDict").op(")R");
    return value.op(more).op("tR");
  };
  refuses_value(tensor_with(PickleWriter().op("}").text("neg").op("\x88s").bytes()),
                {R"(tensor "a")", "does not know", ".clone()"});
  refuses_value(tensor_with("\x88"), {R"(tensor "a")", "does not know"});
  for (const std::string harmless : {"N", "}"})
    BOOST_CHECK_EQUAL(open(torch_file(tensor_with(harmless).op("s").finish(), {{"0", four_floats}}))
                          .load<float>("a")
                          .size(),
                      4);
}
BOOST_AUTO_TEST_CASE(storages_stay_within_the_archive) {
  refuses_tensor({.key = "0", .storage_elements = 5, .shape = {1}, .strides = {1}},
                 {R"(storage "0" of 5 elements of F32, and the archive holds 16 bytes)"});
  refuses_tensor({.key = "0", .storage_elements = 1LL << 62, .shape = {1}, .strides = {1}},
                 {"holds 16 bytes"});
  refuses_tensor({.key = "0", .storage_elements = -1, .shape = {0}, .strides = {1}}, {"the number -1"});
  for (const char* key : {"1", "../version", "/etc/passwd", "..", "", "0/"})
    refuses_tensor({.key = key, .storage_elements = 4, .shape = {4}, .strides = {1}}, {"not in the archive"});
}

BOOST_AUTO_TEST_CASE(storages_of_unknown_type_are_refused) {
  PickledTensor complex = vector_of_four;
  complex.type = "ComplexFloatStorage";
  refuses_value(value_of_a().tensor(complex), {"opcode GLOBAL", R"("torch.ComplexFloatStorage")"});
  refuses_value(value_of_a().text("0").op("Q"),
                {R"(tensor "a" has a storage where a storage of known type)"});
}

BOOST_AUTO_TEST_CASE(a_tensor_that_repeats_its_elements_beyond_the_file_is_refused) {
  refuses_tensor({.key = "0", .storage_elements = 4, .shape = {1 << 20, 4}, .strides = {0, 1}},
                 {"repeats its elements", ".contiguous()"});
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(hostile_archives, Fixture)

BOOST_AUTO_TEST_CASE(entries_that_are_not_stored_as_they_are_are_refused) {
  refuses(zip_archive({{"m/data.pkl", "x", 8}}), {R"("m/data.pkl" is compressed)"});
  refuses(zip_archive({{"m/data.pkl", "x", 0, 1}}), {R"("m/data.pkl" is encrypted)"});
}

BOOST_AUTO_TEST_CASE(an_entry_that_runs_past_the_end_is_refused) {
  refuses(zip_archive({{"m/data.pkl", "x", 0, 0, 1u << 30}}), {"cut or damaged"});
}

BOOST_AUTO_TEST_CASE(an_entry_that_is_there_twice_is_refused) {
  refuses(zip_archive({{"m/data.pkl", "x"}, {"m/data.pkl", "y"}}), {R"("m/data.pkl" is there twice)"});
}

BOOST_AUTO_TEST_CASE(an_archive_without_one_pickle_is_refused) {
  refuses(zip_archive({{"m/code.py", "x"}}), {"without one NAME/data.pkl"});
  refuses(zip_archive({{"m/data.pkl", "x"}, {"n/data.pkl", "x"}}), {"without one NAME/data.pkl"});
  refuses(zip_archive({}), {"pytorch_model.bin"});
}

BOOST_AUTO_TEST_CASE(big_endian_numbers_are_refused) {
  refuses(zip_archive({{"m/data.pkl", pickle_of_four()}, {"m/byteorder", "big"}}), {"big-endian"});
}

BOOST_AUTO_TEST_CASE(what_is_no_archive_is_refused) {
  refuses("just some text", {"no zip archive"});
  refuses("\x80\x02}.", {"no zip archive"});
}

BOOST_AUTO_TEST_SUITE_END()
