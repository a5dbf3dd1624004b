#define BOOST_TEST_MODULE pixels_device
#include <stepvideo/core/pinned.cuh>
#include <stepvideo/kernels/elementwise/pixels.cuh>

#include "kernels/elementwise/pixels_cases.hpp"

using namespace stepvideo;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

BOOST_AUTO_TEST_CASE(pixels_are_the_nearest) {
  testing::pixels_are_the_nearest(device);
}
BOOST_AUTO_TEST_CASE(frames_and_rows_beyond_a_grid) {
  testing::frames_and_rows_beyond_a_grid(device);
}
BOOST_AUTO_TEST_CASE(bytes_stay_what_they_were) {
  testing::bytes_stay_what_they_were(device);
}
BOOST_AUTO_TEST_CASE(a_seam_draws_its_two_frames_together) {
  testing::a_seam_draws_its_two_frames_together(device);
}
BOOST_AUTO_TEST_CASE(on_a_stream_and_in_a_graph) {
  const testing::OwnStream stream;
  testing::pixels_are_the_nearest(Device(stream), 5);
  testing::a_seam_draws_its_two_frames_together(Device(stream));
  testing::pixels_are_the_nearest(testing::InGraph(), 5);
  testing::a_seam_draws_its_two_frames_together(testing::InGraph());
}

/// As the executor has it: no copy, the kernel writes the host's memory.
BOOST_AUTO_TEST_CASE(pixels_and_marks_go_straight_into_pinned_memory) {
  std::mt19937 engine(34);
  for (const index_t width : {64, 33}) {
    auto frames = testing::random_normal<float>(3 * 34 * width * 3, engine, 0.7f);
    frames[34 * width * 3 + 5] = std::numeric_limits<float>::infinity();
    const auto placed = testing::to_device(frames);
    testing::for_each_layout([&](const auto& layout) {
      const index_t frame_bytes = layout.frame_bytes(34, width);
      const PinnedBuffer<std::uint8_t> pinned(3 * frame_bytes), pinned_marks(3);
      const Buffer<std::uint8_t> bytes(3 * frame_bytes), marks(3);
      for (const auto& made : {pinned_marks.vector(), marks.vector()})
        std::fill_n(made.data, 3, std::uint8_t{0});
      frames_to_pixels(device, {placed.data(), 3, 34, width, 3}, layout,
                       {pinned.data(), 3, 34, width, frame_bytes, pinned_marks.data()});
      synchronize(device);
      frames_to_pixels(host, {frames.data(), 3, 34, width, 3}, layout,
                       {bytes.data(), 3, 34, width, frame_bytes, marks.data()});
      BOOST_CHECK(std::equal(bytes.begin(), bytes.end(), pinned.begin()));
      BOOST_CHECK(std::equal(marks.begin(), marks.end(), pinned_marks.begin()) && marks[1] == 1);
    });
  }
}
