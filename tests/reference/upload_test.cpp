#define BOOST_TEST_MODULE upload
#include "io/upload.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "io/mapped_file.hpp"
#include "reference/upload_cases.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::io;
using namespace stepvideo::testing;

namespace {

/// A GPU that is as late as it may be: what is sent arrives when its slot is claimed again, and what lay in
/// the slot is gone then.
class LateSlots final : public UploadSlots {
 public:
  LateSlots(int count, std::size_t slot_bytes)
      : slot_bytes_(slot_bytes), slots_(static_cast<std::size_t>(count)) {
    for (Slot& slot : slots_) slot.memory = Buffer<std::byte>(static_cast<index_t>(slot_bytes));
  }
  int count() const override { return static_cast<int>(slots_.size()); }
  std::size_t slot_bytes() const override { return slot_bytes_; }
  std::byte* claim(int slot) override {
    claimed_ = &slots_.at(static_cast<std::size_t>(slot));
    deliver(*claimed_);
    std::memset(claimed_->memory.data(), 0xA5, slot_bytes_);
    return claimed_->memory.data();
  }
  void send(Device, const std::byte* from, std::size_t bytes, std::byte* target) override {
    BOOST_REQUIRE(claimed_ != nullptr);
    BOOST_REQUIRE(from >= claimed_->memory.data() && from + bytes <= claimed_->memory.end());
    claimed_->sent.push_back({from, bytes, target});
  }
  void seal(Device, int slot) override {
    BOOST_REQUIRE(claimed_ == &slots_.at(static_cast<std::size_t>(slot)));
    claimed_ = nullptr;
    ++sealed_;
  }
  void synchronize() {
    for (Slot& slot : slots_) deliver(slot);
  }
  int sealed() const { return sealed_; }

 private:
  struct Copy {
    const std::byte* from;
    std::size_t bytes;
    std::byte* target;
  };
  struct Slot {
    Buffer<std::byte> memory;
    std::vector<Copy> sent;
  };
  static void deliver(Slot& slot) {
    for (const Copy& copy : slot.sent) std::memcpy(copy.target, copy.from, copy.bytes);
    slot.sent.clear();
  }

  std::size_t slot_bytes_;
  std::vector<Slot> slots_;
  Slot* claimed_ = nullptr;
  int sealed_ = 0;
};

}  // namespace

BOOST_AUTO_TEST_CASE(tensors_of_every_dtype_arrive_as_what_is_kept) {
  for (const std::size_t slot_bytes : {64u, 1000u, 100'000u, 5'000'000u})
    for (const int count : {1, 2, 4}) {
      std::mt19937 engine(static_cast<unsigned>(count));
      const UploadCase problem(engine, slot_bytes < 1000 ? 50 : 3000);
      LateSlots slots(count, slot_bytes);
      UploadRing ring(slots);
      std::uint64_t read = 0;
      ring.upload(device, problem.items(), [&](std::uint64_t bytes) { read += bytes; });
      slots.synchronize();
      problem.check_targets();
      BOOST_CHECK_EQUAL(read, problem.stored_bytes());
    }
}

BOOST_AUTO_TEST_CASE(a_tensor_may_be_larger_than_all_slots_and_a_piece) {
  std::mt19937 engine(5);
  const UploadCase problem(engine, 1'700'000);
  LateSlots slots(2, 3'000'000);
  UploadRing(slots).upload(device, problem.items());
  slots.synchronize();
  problem.check_targets();
}

BOOST_AUTO_TEST_CASE(small_tensors_share_a_slot) {
  std::mt19937 engine(6);
  const UploadCase problem(engine, 10);
  LateSlots slots(4, 1 << 20);
  UploadRing(slots).upload(device, problem.items());
  BOOST_CHECK_EQUAL(slots.sealed(), 1);
}

BOOST_AUTO_TEST_CASE(what_is_not_finite_is_refused_by_name_and_the_ring_goes_on) {
  const float infinity = std::numeric_limits<float>::infinity();
  LateSlots slots(2, 4096);
  UploadRing ring(slots);
  const auto refused = [&]<class Stored>(const std::vector<Stored>& values, Dtype stored, Dtype kept,
                                         const std::string& text) {
    std::vector<std::byte> target(values.size() * sizeof(double));
    const UploadItem item{"file: tensor \"w\"",
                          {stored, {std::ssize(values)}, std::as_bytes(std::span(values))},
                          kept,
                          target.data()};
    check_refused([&] { ring.upload(device, {&item, 1}); }, {"file: tensor \"w\"", text});
    slots.synchronize();  // what was sent before it, while the target lives
  };
  std::vector<float> values(3000, 1.0f);
  values[2999] = NAN;
  refused(values, Dtype::f32, Dtype::bf16, "holds NaN at element 2999; every value must be finite as bf16");
  values[1234] = -infinity;
  refused(values, Dtype::f32, Dtype::f32, "holds -inf at element 1234; every value must be finite as fp32");
  values[7] = 1e30f;
  refused(values, Dtype::f32, Dtype::f16, "holds 1.0000000150474662e+30 at element 7");
  refused(std::vector<double>{1, 1e300}, Dtype::f64, Dtype::f32, "holds 1e+300 at element 1");
  refused(std::vector<std::int32_t>{1, 2}, Dtype::i32, Dtype::f32, "has dtype I32; floating point is due");

  std::mt19937 engine(7);
  const UploadCase problem(engine, 2000);
  ring.upload(device, problem.items());
  slots.synchronize();
  problem.check_targets();
}

BOOST_AUTO_TEST_CASE(nothing_is_sent_of_nothing) {
  LateSlots slots(2, 4096);
  const UploadItem empty{"empty", {Dtype::f32, {0, 3}, {}}, Dtype::bf16, nullptr};
  UploadRing(slots).upload(device, {&empty, 1});
  UploadRing(slots).upload(device, {});
  BOOST_CHECK_EQUAL(slots.sealed(), 0);
}

BOOST_AUTO_TEST_CASE(what_is_refused_is_asked_for_in_halves) {
  std::vector<index_t> asked;
  const auto allocation = [&](index_t most) {
    asked.clear();
    return largest_allocation(64, 10, [&](index_t bytes) {
      asked.push_back(bytes);
      return bytes <= most ? std::optional(bytes) : std::nullopt;
    });
  };
  BOOST_CHECK(allocation(100) == 64 && asked == std::vector<index_t>{64});
  BOOST_CHECK(allocation(20) == 16 && asked == (std::vector<index_t>{64, 32, 16}));
  BOOST_CHECK(!allocation(15) && asked == (std::vector<index_t>{64, 32, 16}));
}

BOOST_AUTO_TEST_CASE(tensors_of_a_file_arrive) {
  const ScratchFolder folder;
  std::vector<float> values(5000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 0.37f * static_cast<float>(i);
  write_safetensors(folder / "model.safetensors",
                    {{"w", Dtype::f32, {50, 100}, std::as_bytes(std::span(values))}});
  const auto checkpoint = Checkpoint::open(folder / "model.safetensors");
  std::vector<bf16> target(values.size());
  LateSlots slots(2, 4096);
  const auto item = upload_item(checkpoint, "w", target.data());
  UploadRing(slots).upload(device, {&item, 1});
  slots.synchronize();
  for (std::size_t i = 0; i < values.size(); ++i) BOOST_REQUIRE_EQUAL(target[i].bits, bf16(values[i]).bits);
}

BOOST_AUTO_TEST_CASE(a_file_is_read_where_its_mapping_lies_and_nothing_else_is) {
  const ScratchFolder folder;
  std::string text(10'000, ' ');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 26);
  for (const char* name : {"one", "two"}) std::ofstream(folder / name) << name << text;
  const auto one = MappedFile::open(folder / "one", "a file"),
             two = MappedFile::open(folder / "two", "a file");
  std::vector<std::byte> found(text.size() + 3);
  for (const MappedFile& file : {one, two}) {
    BOOST_REQUIRE(read_from_file(file.bytes(), found.data()));
    BOOST_CHECK(std::ranges::equal(found, file.bytes()));
    BOOST_REQUIRE(read_from_file(file.bytes().subspan(7, 900), found.data()));
    BOOST_CHECK(std::ranges::equal(std::span(found).first(900), file.bytes().subspan(7, 900)));
  }
  BOOST_CHECK(!read_from_file(found, found.data()));  // memory of another kind
  const std::span<const std::byte> too_long(one.bytes().data() + 5, one.size);
  BOOST_CHECK(!read_from_file(too_long, found.data()));
  std::filesystem::resize_file(folder / "two", 5000);
  BOOST_CHECK(!read_from_file(two.bytes(), found.data()));
  BOOST_CHECK(read_from_file(two.bytes().first(5000), found.data()));
}

BOOST_AUTO_TEST_CASE(files_are_read_or_copied_from_their_mapping_to_the_same_bits_by_any_number_of_threads) {
  const ScratchFolder folder;
  std::vector<bf16> values(500'000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = bf16(0.37f * static_cast<float>(i));
  const auto write = [&] {
    write_safetensors(folder / "model.safetensors",
                      {{"w", Dtype::bf16, {std::ssize(values)}, std::as_bytes(std::span(values))}});
    return Checkpoint::open(folder / "model.safetensors");
  };
  for (const bool reads_files : {true, false})
    for (const int threads : {1, 3}) {
      const auto checkpoint = write();
      std::vector<bf16> target(values.size());
      LateSlots slots(2, 300'000);
      const auto item = upload_item(checkpoint, "w", target.data());
      UploadRing(slots, {.most_threads = threads, .reads_files = reads_files}).upload(device, {&item, 1});
      slots.synchronize();
      BOOST_CHECK(std::ranges::equal(target, values, {}, &bf16::bits, &bf16::bits));
    }
  values[345'678] = bf16(NAN);
  const auto checkpoint = write();
  std::vector<bf16> target(values.size());
  LateSlots slots(2, 300'000);
  const auto item = upload_item(checkpoint, "w", target.data());
  check_refused(
      [&] {
        UploadRing(slots).upload(device, {&item, 1});
      },
      {"tensor \"w\" holds NaN at element 345678"});
  slots.synchronize();
}
