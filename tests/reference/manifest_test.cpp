// Every output says what made it.
#define BOOST_TEST_MODULE manifest
#include "io/manifest.hpp"

#include <boost/test/unit_test.hpp>

#include "io/checkpoint.hpp"
#include "io/safetensors_stream.hpp"
#include "io/video.hpp"
#include "support/append_frames.hpp"
#include "support/ffmpeg.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::io;
using namespace stepvideo::testing;

namespace {

constexpr VideoShape shape{2, 32, 48};

/// A grey video whose writer asks `manifest` for what made it.
void write_video(const std::filesystem::path& path, std::function<std::string()> manifest) {
  const Buffer<float> pixels(index_t{3} * shape.frames * shape.height * shape.width);
  std::fill(pixels.begin(), pixels.end(), 0.25f);
  const auto writer = open_video_writer(path, shape, {.manifest = std::move(manifest)});
  testing::append(*writer, {pixels.data(), shape.frames, shape.height, shape.width, 3});
  writer->finish();
}

const std::string hard_text =
    Json{{"stepvideo", "1"}, {"prompt", "红色的圆 \"quoted\" = ; # \\ \n next line \x01 end"}}.dump();

}  // namespace

BOOST_AUTO_TEST_CASE(a_manifest_comes_back_from_every_kind_of_video) {
  const ScratchFolder folder;
  for (const char* name : {"v.mp4", "v.safetensors"}) {
    write_video(folder / name, [] { return hard_text; });
    const auto manifest = read_manifest(folder / name);
    BOOST_REQUIRE_MESSAGE(manifest.has_value(), name);
    BOOST_CHECK_EQUAL(manifest->dump(), hard_text);
    BOOST_CHECK(read_video(folder / name).shape == shape);
  }
}
BOOST_AUTO_TEST_CASE(a_manifest_of_a_megabyte_comes_back) {
  const ScratchFolder folder;
  const std::string text = Json{{"stepvideo", "1"}, {"prompt", std::string(1 << 20, 'x')}}.dump();
  for (const char* name : {"v.mp4", "v.safetensors"}) {
    write_video(folder / name, [&] { return text; });
    BOOST_CHECK(read_manifest(folder / name).value_or(Json{}).dump() == text);
  }
}
BOOST_AUTO_TEST_CASE(ffprobe_shows_the_manifest_and_a_copy_by_ffmpeg_keeps_it,
                     *boost::unit_test::precondition(has_ffmpeg)) {
  const ScratchFolder folder;
  write_video(folder / "v.mp4", [] { return hard_text; });
  const auto probed = Json::parse(output_of("ffprobe -show_format -of json " + (folder / "v.mp4").string()));
  BOOST_CHECK_EQUAL(probed["format"]["tags"]["comment"].get<std::string>(), hard_text);
  output_of("ffmpeg -i " + (folder / "v.mp4").string() + " -c copy " + (folder / "copy.mkv").string());
  BOOST_CHECK_EQUAL(read_manifest(folder / "copy.mkv").value_or(Json{}).dump(), hard_text);
}
BOOST_AUTO_TEST_CASE(the_manifest_may_tell_what_writing_the_frames_took) {
  const ScratchFolder folder;
  for (const char* name : {"v.mp4", "v.safetensors"}) {
    int questions = 0;
    write_video(folder / name, [&] {
      return Json{{"stepvideo", "1"}, {"asked", std::string(10u * questions++, 'x')}}.dump();
    });
    const auto manifest = read_manifest(folder / name).value_or(Json::object());
    BOOST_CHECK_EQUAL(manifest.value("asked", "none").size(), 10u * (questions - 1));
  }
}
BOOST_AUTO_TEST_CASE(a_later_manifest_that_is_too_long_leaves_the_first) {
  const ScratchFolder folder;
  int questions = 0;
  write_video(folder / "v.safetensors", [&] {
    return Json{{"stepvideo", "1"}, {"asked", std::string(100'000u * questions++, 'x')}}.dump();
  });
  BOOST_CHECK_EQUAL(read_manifest(folder / "v.safetensors").value_or(Json::object()).value("asked", "none"),
                    "");
  BOOST_CHECK(read_video(folder / "v.safetensors").shape == shape);
}
BOOST_AUTO_TEST_CASE(what_another_program_wrote_has_no_manifest) {
  const ScratchFolder folder;
  for (const std::string text : {"a comment", "{", "{}", "{\"stepvideo\": 1}", "[\"stepvideo\"]"}) {
    write_video(folder / "v.mp4", [&] { return text; });
    BOOST_CHECK(!read_manifest(folder / "v.mp4"));
  }
  write_video(folder / "v.safetensors", {});
  BOOST_CHECK(!read_manifest(folder / "v.safetensors"));
}
BOOST_AUTO_TEST_CASE(formats_without_room_for_a_manifest_have_it_beside_them) {
  const ScratchFolder folder;
  folder.write("v.y4m", "YUV4MPEG2");
  BOOST_CHECK(!read_manifest(folder / "v.y4m"));
  folder.write("v.y4m.json", hard_text);
  BOOST_CHECK_EQUAL(read_manifest(folder / "v.y4m").value_or(Json{}).dump(), hard_text);
  folder.write("frames/manifest.json", hard_text);
  BOOST_CHECK_EQUAL(read_manifest(folder / "frames").value_or(Json{}).dump(), hard_text);
}
BOOST_AUTO_TEST_CASE(a_file_that_is_not_there_is_named) {
  check_refused([] { read_manifest("/no/such.mp4"); }, {"/no/such.mp4 is not there"});
}
