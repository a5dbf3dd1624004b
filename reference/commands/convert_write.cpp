#include "commands/convert_write.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>
#include <stepvideo/kernels/elementwise/quantize_rows.hpp>

#include "io/json.hpp"
#include "io/mapped_file.hpp"
#include "io/pending_folder.hpp"
#include "io/safetensors_stream.hpp"
#include "io/stored_type.hpp"

namespace stepvideo::commands {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t piece_elements = std::int64_t{1} << 20;

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

/// Writes a matrix as rows of fp8, or their scales, some rows a step: the bits that a run makes of it.
void write_quantized(const ConvertedTensor& tensor, io::SafetensorsStream& file, Stage& stage) {
  const index_t rows = tensor.from.shape[0], columns = tensor.from.shape[1];
  const std::size_t width = io::dtype_bytes(tensor.from.dtype);
  const index_t most = std::max<index_t>(1, piece_elements / std::max<index_t>(1, columns));
  std::vector<std::byte> gathered, rounded;
  for (index_t first = 0; first < rows; first += most) {
    const index_t count = std::min(most, rows - first);
    const auto bytes = static_cast<std::size_t>(count * columns) * width;
    std::span<const std::byte> piece;
    if (tensor.from.strides.empty()) {
      piece = tensor.from.bytes.subspan(static_cast<std::size_t>(first * columns) * width, bytes);
    } else {
      gathered.resize(bytes);
      io::gather(tensor.from, first * columns, gathered);
      piece = gathered;
    }
    cast<bf16>(tensor, piece, first * columns, rounded);
    const Buffer<fp8_e4m3> codes(count * columns);
    const Buffer<float> scales(count);
    quantize_rows(
        host, TokensView<const bf16>::dense(reinterpret_cast<const bf16*>(rounded.data()), 1, count, columns),
        {TokensView<fp8_e4m3>::dense(codes.data(), 1, count, columns), scales.vector()});
    for (index_t i = 0; i < codes.size(); ++i)
      require(!std::isnan(static_cast<float>(codes[i])) && std::isfinite(scales[i / columns]), [&] {
        return fmt::format("--dtype: tensor {} holds NaN or infinity in row {}; finite values become fp8",
                           tensor.origin, first + i / columns);
      });
    const auto result = tensor.is_scales
                            ? std::as_bytes(std::span(scales.data(), static_cast<std::size_t>(count)))
                            : std::as_bytes(std::span(codes.data(), static_cast<std::size_t>(codes.size())));
    file.append(result);
    io::release_pages(tensor.from.strides.empty() ? piece : tensor.from.bytes);
    stage.moved(result.size());
  }
}

/// Writes one tensor, a piece a step.
void write_tensor(const ConvertedTensor& tensor, io::SafetensorsStream& file, Stage& stage) {
  if (tensor.is_scales || tensor.is_quantized()) return write_quantized(tensor, file, stage);
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

void write_index(const ConvertPlan& plan, const ConvertedIndex& index, const fs::path& folder) {
  io::Json places = io::Json::object();
  std::uint64_t bytes = 0;
  for (const auto& file : std::span(plan.files).subspan(index.first, index.count))
    for (const auto& tensor : file.tensors) {
      places[tensor.name] = file.name.filename().string();
      bytes += io::tensor_bytes(tensor.dtype, tensor.shape()).value_or(0);
    }
  const io::Json json{{"metadata", {{"total_size", bytes}}}, {"weight_map", std::move(places)}};
  io::write_file(folder / index.name, json.dump(2, ' ', false, io::Json::error_handler_t::replace) + '\n');
}

/// Writes everything but the last touch: the stream's finish() puts the file in place.
std::unique_ptr<io::SafetensorsStream> write_file(const ConvertedFile& file, const fs::path& path,
                                                  Stage& stage) {
  std::vector<io::NamedTensor> announced;
  for (const auto& tensor : file.tensors)
    announced.push_back({tensor.name, tensor.dtype, tensor.shape(), {}});
  auto stream = std::make_unique<io::SafetensorsStream>(path, announced, file.metadata);
  for (const auto& tensor : file.tensors) write_tensor(tensor, *stream, stage);
  return stream;
}

int count_steps(const ConvertPlan& plan) {
  std::int64_t pieces = 0;
  for (const auto& file : plan.files)
    for (const auto& tensor : file.tensors)
      pieces += tensor.is_scales || tensor.is_quantized()
                    ? 0
                    : (io::element_count(tensor.from.shape) + piece_elements - 1) / piece_elements;
  return static_cast<int>(std::min<std::int64_t>(pieces, std::numeric_limits<int>::max()));
}

/// Everything that is written, from the folder; indexes last.
std::vector<fs::path> names_of(const ConvertPlan& plan) {
  std::vector<fs::path> names;
  for (const auto& copy : plan.copies) names.push_back(copy.name);
  for (const auto& file : plan.files) names.push_back(file.name);
  for (const auto& index : plan.indexes) names.push_back(index.name);
  return names;
}

/// Makes the folder that a file of that name lies in. Throws Error.
void make_folder_of(const fs::path& folder, const fs::path& name) {
  std::error_code error;
  fs::create_directories((folder / name).parent_path(), error);
  if (error) throw Error(fmt::format("{} cannot be written: {}", folder.string(), error.message()));
}

void copy_files(const ConvertPlan& plan, const fs::path& folder) {
  for (const auto& copy : plan.copies) {
    std::error_code error;
    make_folder_of(folder, copy.name);
    fs::copy_file(copy.from, folder / copy.name, error);
    if (error)
      throw Error(fmt::format("{} cannot be copied to {}: {}", copy.from.string(),
                              (plan.folder / copy.name).string(), error.message()));
  }
}

/// Moves the files, which are all there, into the folder that exists, indexes last. Throws Error, and
/// then takes them back.
void move_into_folder(const ConvertPlan& plan, const fs::path& staging) {
  const auto names = names_of(plan);
  std::error_code error, unused;
  for (std::size_t moved = 0; moved < names.size(); ++moved) {
    make_folder_of(plan.folder, names[moved]);
    fs::rename(staging / names[moved], plan.folder / names[moved], error);
    if (!error) continue;
    while (moved-- > 0) fs::remove(plan.folder / names[moved], unused);
    throw Error(fmt::format("{} cannot be written: {}", plan.folder.string(), error.message()));
  }
}

}  // namespace

// A stage that was interrupted says that nothing was written: outputs appear after it.
void write_conversion(const ConvertPlan& plan, Progress& progress) {
  const int steps = count_steps(plan);
  if (plan.is_single_file) {
    const auto stream = progress.stage("convert", steps, [&](Stage& stage) {
      return write_file(plan.files.front(), plan.folder / plan.files.front().name, stage);
    });
    return stream->finish();
  }
  io::PendingFolder staging(plan.staged_beside);
  progress.stage("convert", steps, [&](Stage& stage) {
    for (const auto& file : plan.files) {
      make_folder_of(staging.temporary(), file.name);
      write_file(file, staging.temporary() / file.name, stage)->finish();
    }
    for (const auto& index : plan.indexes) write_index(plan, index, staging.temporary());
    copy_files(plan, staging.temporary());
  });
  if (plan.staged_beside != plan.folder) return move_into_folder(plan, staging.temporary());
  std::error_code unused;
  if (!plan.replaces && fs::exists(plan.folder, unused))  // another conversion's: to publish would replace it
    throw Error(plan.folder.string() + " has come to be meanwhile and is not replaced; another name works");
  staging.publish();
}

}  // namespace stepvideo::commands
