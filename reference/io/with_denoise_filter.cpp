#include <cstdint>
#include <memory>
#include <utility>

extern "C" {
#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <libavutil/pixdesc.h>
}

#include <stepvideo/core/shared_library.hpp>

#include "io/frame_filter.hpp"
#include "io/libav.hpp"

namespace stepvideo::io {
namespace {

using libav::check;

/// The functions of libavfilter, which brings dozens of libraries with it: a run without filters does not
/// wait for them.
struct Library {
  SharedLibrary library{fmt::format("libavfilter.so.{}", LIBAVFILTER_VERSION_MAJOR)};
  decltype(&avfilter_get_by_name) get_by_name = find<decltype(avfilter_get_by_name)>("avfilter_get_by_name");
  decltype(&avfilter_graph_alloc) graph_alloc = find<decltype(avfilter_graph_alloc)>("avfilter_graph_alloc");
  decltype(&avfilter_graph_free) graph_free = find<decltype(avfilter_graph_free)>("avfilter_graph_free");
  decltype(&avfilter_graph_create_filter) create_filter =
      find<decltype(avfilter_graph_create_filter)>("avfilter_graph_create_filter");
  decltype(&avfilter_graph_parse_ptr) parse =
      find<decltype(avfilter_graph_parse_ptr)>("avfilter_graph_parse_ptr");
  decltype(&avfilter_graph_config) configure = find<decltype(avfilter_graph_config)>("avfilter_graph_config");
  decltype(&avfilter_inout_alloc) inout_alloc = find<decltype(avfilter_inout_alloc)>("avfilter_inout_alloc");
  decltype(&avfilter_inout_free) inout_free = find<decltype(avfilter_inout_free)>("avfilter_inout_free");
  decltype(&av_buffersrc_add_frame_flags) add_frame =
      find<decltype(av_buffersrc_add_frame_flags)>("av_buffersrc_add_frame_flags");
  decltype(&av_buffersink_get_frame) get_frame =
      find<decltype(av_buffersink_get_frame)>("av_buffersink_get_frame");

 private:
  template <class Function>
  Function* find(const char* name) const {
    return library.get<Function>(name);
  }
};

/// Throws Error with the loader's reason.
const Library& libavfilter() {
  static const Library library;
  return library;
}

struct FreeGraph {
  void operator()(AVFilterGraph* graph) const { libavfilter().graph_free(&graph); }
};
struct FreeEnds {
  void operator()(AVFilterInOut* ends) const { libavfilter().inout_free(&ends); }
};

class Chain final : public FrameFilter {
 public:
  Chain(const std::filesystem::path& output, const std::string& chain, const AVFrame& first, FrameRate rate)
      : output_(output), graph_(check(libavfilter().graph_alloc(), output, "filtered")) {
    graph_->nb_threads = 1;
    source_ = end("buffer", source_of(first, rate).c_str());
    sink_ = end("buffersink", nullptr);
    // Seen from the chain: its input is what the source puts out.
    AVFilterInOut* outputs = open_end("in", source_);
    AVFilterInOut* inputs = open_end("out", sink_);
    const int code = libavfilter().parse(graph_.get(), chain.c_str(), &inputs, &outputs, nullptr);
    const std::unique_ptr<AVFilterInOut, FreeEnds> left_in(inputs), left_out(outputs);
    check(code, output_, "filtered");
    check(libavfilter().configure(graph_.get(), nullptr), output_, "filtered");
  }

  void push(const AVFrame* frame) override {
    // The source takes const frames where it keeps a reference, which the flag says.
    check(libavfilter().add_frame(source_, const_cast<AVFrame*>(frame), AV_BUFFERSRC_FLAG_KEEP_REF), output_,
          "filtered");
  }
  bool pull(AVFrame* frame) override {
    const int code = libavfilter().get_frame(sink_, frame);
    if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return false;
    check(code, output_, "filtered");
    return true;
  }

 private:
  static std::string source_of(const AVFrame& first, FrameRate rate) {
    std::string text = fmt::format("video_size={}x{}:pix_fmt={}:time_base={}/{}:pixel_aspect=1/1",
                                   first.width, first.height, first.format, rate.denominator, rate.numerator);
#if LIBAVFILTER_VERSION_INT >= AV_VERSION_INT(9, 16, 100)
    text += fmt::format(":colorspace={}:range={}", static_cast<int>(first.colorspace),
                        static_cast<int>(first.color_range));
#endif
    return text;
  }
  AVFilterContext* end(const char* filter, const char* arguments) {
    AVFilterContext* context = nullptr;
    check(libavfilter().create_filter(&context, libavfilter().get_by_name(filter), filter, arguments, nullptr,
                                      graph_.get()),
          output_, "filtered");
    return context;
  }
  AVFilterInOut* open_end(const char* name, AVFilterContext* filter) {
    AVFilterInOut* const end = check(libavfilter().inout_alloc(), output_, "filtered");
    end->name = av_strdup(name);
    end->filter_ctx = filter;
    return end;
  }

  std::filesystem::path output_;
  std::unique_ptr<AVFilterGraph, FreeGraph> graph_;
  AVFilterContext *source_ = nullptr, *sink_ = nullptr;  // the graph's
};

}  // namespace

std::unique_ptr<FrameFilter> open_frame_filter(const std::filesystem::path& output, const std::string& chain,
                                               const std::string& pixel_format, const AVFrame& first,
                                               FrameRate rate) {
  return std::make_unique<Chain>(output, chain + ",format=" + pixel_format, first, rate);
}

void require_frame_filter(const std::string& what, const std::string& filter) {
  const AVFilter* found = nullptr;
  try {
    found = libavfilter().get_by_name(filter.c_str());
  } catch (const Error& error) {
    throw RequestError(
        fmt::format("{} needs libavfilter: {}; on Debian apt-get install libavfilter{} brings it", what,
                    error.what(), LIBAVFILTER_VERSION_MAJOR));
  }
  require(found != nullptr, [&] {
    return fmt::format("{} needs the filter {}, which the libavfilter installed here lacks", what, filter);
  });
}

}  // namespace stepvideo::io
