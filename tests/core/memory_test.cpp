#define BOOST_TEST_MODULE memory
#include <cstdint>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/dispatch.hpp>
#include <stepvideo/core/workspace.hpp>

#include "support/compare.hpp"

using namespace stepvideo;

BOOST_AUTO_TEST_CASE(buffers_are_aligned_and_move) {
  Buffer<float> first(3);
  BOOST_CHECK_EQUAL(reinterpret_cast<std::uintptr_t>(first.data()) % storage_alignment, 0u);
  float* const data = first.data();
  Buffer<float> second = std::move(first);
  BOOST_CHECK_EQUAL(second.data(), data);
  BOOST_CHECK_EQUAL(first.size(), 0);
  BOOST_CHECK(Buffer<float>().data() == nullptr);
}

BOOST_AUTO_TEST_CASE(impossible_sizes_are_refused) {
  BOOST_CHECK_THROW(Buffer<float>(-1), RequestError);
  BOOST_CHECK_THROW(Buffer<float>(std::numeric_limits<index_t>::max()), RequestError);
  BOOST_CHECK_THROW(Buffer<float>(index_t{1} << 50), Error);
}

BOOST_AUTO_TEST_CASE(workspace_slices_are_aligned_disjoint_and_bounded) {
  const Buffer<std::byte> memory(workspace_bytes<float>(5) + workspace_bytes<double>(1));
  Workspace workspace(memory);
  float* const floats = workspace.take<float>(5);
  double* const doubles = workspace.take<double>(1);
  BOOST_CHECK_EQUAL(reinterpret_cast<std::uintptr_t>(doubles) % storage_alignment, 0u);
  BOOST_CHECK(reinterpret_cast<std::byte*>(doubles) >= reinterpret_cast<std::byte*>(floats + 5));
  BOOST_CHECK_EQUAL(workspace.left_bytes(), 0u);
  BOOST_CHECK_THROW(workspace.take<char>(1), RequestError);
}

BOOST_AUTO_TEST_CASE(a_dispatch_reaches_the_built_value_or_lists_them) {
  int reached = 0;
  dispatch<64, 128>("head dimension", 128, [&]<int dim>(std::integral_constant<int, dim>) { reached = dim; });
  BOOST_CHECK_EQUAL(reached, 128);
  const auto dispatch_96 = [] { dispatch<64, 128>("head dimension", 96, [](auto) {}); };
  BOOST_CHECK_EXCEPTION(dispatch_96(), RequestError, [](const RequestError& error) {
    return std::string(error.what()) == "head dimension 96 is not built; built are 64, 128";
  });
}

BOOST_AUTO_TEST_CASE(views_address_what_they_name) {
  Buffer<float> storage(2 * 3 * 4 * 5);
  const auto token_major = HeadsView<float>::dense(storage.data(), 2, 3, 4, 5);
  const auto head_major = HeadsView<float>::head_major(storage.data(), 2, 3, 4, 5);
  BOOST_CHECK_EQUAL(token_major.row(1, 2, 3) - storage.data(), ((1 * 3 + 2) * 4 + 3) * 5);
  BOOST_CHECK_EQUAL(head_major.row(1, 2, 3) - storage.data(), ((1 * 4 + 3) * 3 + 2) * 5);
  const VideoView<float> video{storage.data(), 2, 3, 4, 5};
  BOOST_CHECK_EQUAL(video.pixel(1, 2, 3) - storage.data(), ((1 * 3 + 2) * 4 + 3) * 5);
  BOOST_CHECK_EQUAL(video.frames_from(1, 1).data - storage.data(), 60);
}
