#include "commands/convert_write.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <memory>
#include <span>
#include <type_traits>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "io/json.hpp"
#include "io/mapped_file.hpp"
#include "io/pending_file.hpp"
#include "io/safetensors_stream.hpp"
#include "io/stored_type.hpp"

namespace stepvideo::commands {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t piece_elements = std::int64_t{1} << 20;

/// Removes what a conversion that fails has left, in reverse.
class Rollback {
 public:
  Rollback() = default;
  Rollback(const Rollback&) = delete;
  Rollback& operator=(const Rollback&) = delete;
  ~Rollback() {
    std::error_code unused;
    for (auto path = paths_.rbegin(); path != paths_.rend(); ++path) fs::remove(*path, unused);
  }
  void add(fs::path path) { paths_.push_back(std::move(path)); }
  void keep_all() { paths_.clear(); }

 private:
  std::vector<fs::path> paths_;
};

template <class To>
void cast(const ConvertedTensor& tensor, std::span<const std::byte> from, std::int64_t first,
          std::vector<std::byte>& to) {
  constexpr index_t none = std::numeric_limits<index_t>::max();
  io::with_stored_type(tensor.from.dtype, [&]<class Stored>(Stored) {
    if constexpr (!std::is_integral_v<Stored>) {
      const auto count = static_cast<index_t>(from.size() / sizeof(Stored));
      to.resize(static_cast<std::size_t>(count) * sizeof(To));
      index_t bad = none;
#pragma omp parallel for schedule(static) reduction(min : bad)
      for (index_t i = 0; i < count; ++i) {
        const auto stored = io::stored_element<Stored>(from, i);
        const To value(static_cast<float>(stored));
        std::memcpy(to.data() + static_cast<std::size_t>(i) * sizeof(To), &value, sizeof(To));
        if (std::isinf(static_cast<float>(value)) && std::isfinite(static_cast<double>(stored)) && i < bad)
          bad = i;
      }
      require(bad == none, [&] {
        return fmt::format("--dtype: tensor {} holds {} at element {}, which is infinite as {}; {} holds it",
                           tensor.origin, static_cast<double>(io::stored_element<Stored>(from, bad)),
                           first + bad, element_name<To>,
                           std::is_same_v<To, fp16> ? "bf16 or fp32" : "--dtype keep");
      });
    }
  });
}

/// Writes one tensor, a piece a step.
void write_tensor(const ConvertedTensor& tensor, io::SafetensorsStream& file, Stage& stage) {
  const std::size_t width = io::dtype_bytes(tensor.from.dtype);
  const std::int64_t elements = io::element_count(tensor.from.shape);
  std::vector<std::byte> gathered, converted;
  for (std::int64_t first = 0; first < elements; first += piece_elements) {
    const auto bytes = static_cast<std::size_t>(std::min(piece_elements, elements - first)) * width;
    std::span<const std::byte> piece;
    if (tensor.from.strides.empty()) {
      piece = tensor.from.bytes.subspan(static_cast<std::size_t>(first) * width, bytes);
    } else {
      gathered.resize(bytes);
      io::gather(tensor.from, first, gathered);
      piece = gathered;
    }
    std::span<const std::byte> result = piece;
    if (tensor.dtype != tensor.from.dtype) {
      if (tensor.dtype == io::Dtype::f32)
        cast<float>(tensor, piece, first, converted);
      else if (tensor.dtype == io::Dtype::bf16)
        cast<bf16>(tensor, piece, first, converted);
      else
        cast<fp16>(tensor, piece, first, converted);
      result = converted;
    }
    file.append(result);
    io::release_pages(tensor.from.strides.empty() ? piece : tensor.from.bytes);
    stage.moved(result.size());
    stage.step();
  }
}

void write_index(const ConvertPlan& plan) {
  io::Json places = io::Json::object();
  for (const auto& file : plan.files)
    for (const auto& tensor : file.tensors) places[tensor.name] = file.name;
  const io::Json index{{"metadata", {{"total_size", plan.bytes}}}, {"weight_map", std::move(places)}};
  io::PendingFile file(plan.folder / *plan.index);
  std::ofstream stream(file.temporary(), std::ios::binary);
  stream << index.dump(2, ' ', false, io::Json::error_handler_t::replace) << '\n' << std::flush;
  if (!stream) throw Error(file.target().string() + " cannot be written");
  file.publish();
}

}  // namespace

void write_conversion(const ConvertPlan& plan, Progress& progress) {
  Rollback rollback;
  std::error_code error;
  if (fs::create_directory(plan.folder, error)) rollback.add(plan.folder);
  if (error) throw Error(fmt::format("{} cannot be made: {}", plan.folder.string(), error.message()));

  std::int64_t pieces = 0;
  for (const auto& file : plan.files)
    for (const auto& tensor : file.tensors)
      pieces += (io::element_count(tensor.from.shape) + piece_elements - 1) / piece_elements;
  const int steps = static_cast<int>(std::min<std::int64_t>(pieces, std::numeric_limits<int>::max()));
  // A stage that was interrupted says that nothing was written: what completes the output comes after it.
  auto last = progress.stage("convert", steps, [&](Stage& stage) {
    std::unique_ptr<io::SafetensorsStream> stream;
    for (const auto& file : plan.files) {
      std::vector<io::NamedTensor> announced;
      for (const auto& tensor : file.tensors)
        announced.push_back({tensor.name, tensor.dtype, tensor.from.shape, {}});
      stream = std::make_unique<io::SafetensorsStream>(plan.folder / file.name, announced, plan.metadata);
      for (const auto& tensor : file.tensors) write_tensor(tensor, *stream, stage);
      if (&file == &plan.files.back()) break;
      stream->finish();
      rollback.add(plan.folder / file.name);
    }
    return stream;
  });
  last->finish();
  if (plan.index) {
    rollback.add(plan.folder / plan.files.back().name);
    write_index(plan);
  }
  rollback.keep_all();
}

}  // namespace stepvideo::commands
