// Tensors to upload, for any slots.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "io/stored_type.hpp"
#include "io/upload.hpp"
#include "support/random_input.hpp"

namespace stepvideo::testing {

/// A tensor of every floating-point dtype for everything that may be kept, of random sizes, off the grid of
/// their elements in memory; targets lie one after another.
class UploadCase {
 public:
  UploadCase(std::mt19937& engine, int largest) {
    using io::Dtype;
    for (const Dtype stored : {Dtype::f64, Dtype::f32, Dtype::f16, Dtype::bf16, Dtype::f8_e4m3})
      for (const Dtype kept : {Dtype::f32, Dtype::f16, Dtype::bf16, Dtype::f8_e4m3})
        add(engine, random_int(engine, 1, largest), stored, kept);
    std::size_t bytes = 0;
    for (io::UploadItem& item : items_) bytes += target_bytes(item);
    targets_.assign(bytes, std::byte{0xFF});
    place_targets(targets_.data());
  }
  UploadCase(const UploadCase&) = delete;
  UploadCase& operator=(const UploadCase&) = delete;

  const std::vector<io::UploadItem>& items() const { return items_; }
  std::uint64_t stored_bytes() const {
    std::uint64_t sum = 0;
    for (const auto& item : items_) sum += item.stored.bytes.size();
    return sum;
  }
  std::size_t target_bytes() const { return targets_.size(); }
  /// Elsewhere, and back for check_targets().
  void place_targets(std::byte* memory) {
    for (io::UploadItem& item : items_) item.target = std::exchange(memory, memory + target_bytes(item));
  }
  std::byte* targets() { return targets_.data(); }

  /// What arrived is each element, rounded once. `targets()` holds it.
  void check_targets() const {
    const std::byte* at = targets_.data();
    for (const io::UploadItem& item : items_) {
      io::with_stored_type(item.stored.dtype, [&]<class Stored>(Stored) {
        io::with_stored_type(item.kept, [&]<class T>(T) {
          if constexpr (Element<T>) check_item<Stored>(item, reinterpret_cast<const T*>(at));
        });
      });
      at += target_bytes(item);
    }
  }

 private:
  static std::size_t count_of(const io::UploadItem& item) {
    return static_cast<std::size_t>(io::element_count(item.stored.shape));
  }
  /// The next item is aligned like memory.
  static std::size_t target_bytes(const io::UploadItem& item) {
    return (count_of(item) * io::dtype_bytes(item.kept) + 15) / 16 * 16;
  }
  void add(std::mt19937& engine, int count, io::Dtype stored, io::Dtype kept) {
    std::normal_distribution<float> normal;
    auto& bytes = storage_.emplace_back(static_cast<std::size_t>(count) * io::dtype_bytes(stored) + 1);
    io::with_stored_type(stored, [&]<class Stored>(Stored) {
      for (int i = 0; i < count; ++i) {
        const auto value = static_cast<Stored>(normal(engine));
        std::memcpy(bytes.data() + 1 + static_cast<std::size_t>(i) * sizeof(Stored), &value, sizeof(Stored));
      }
    });
    items_.push_back({"tensor " + std::to_string(items_.size()),
                      {stored, {count}, std::span(bytes).subspan(1)},
                      kept,
                      nullptr});
  }
  template <class Stored, class T>
  static void check_item(const io::UploadItem& item, const T* actual) {
    for (std::size_t i = 0; i < count_of(item); ++i) {
      const auto stored = io::stored_element<Stored>(item.stored.bytes, static_cast<index_t>(i));
      const T expected = T(static_cast<float>(stored));
      BOOST_REQUIRE_MESSAGE(std::memcmp(actual + i, &expected, sizeof(T)) == 0,
                            item.tensor << " has " << float(actual[i]) << " at element " << i
                                        << " instead of " << float(expected));
    }
  }

  std::vector<std::vector<std::byte>> storage_;
  std::vector<io::UploadItem> items_;
  std::vector<std::byte> targets_;
};

}  // namespace stepvideo::testing
