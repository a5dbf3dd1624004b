#include <ranges>

#include <fmt/format.h>

#include "commands/bench_cpu.hpp"
#include "commands/bench_device.hpp"
#include "commands/bench_links.hpp"
#include "commands/bench_transformer.hpp"
#include "commands/bench_vae.hpp"
#include "commands/command.hpp"
#include "commands/options.hpp"
#include "commands/overwrite_flag.hpp"
#include "commands/vae_flags.hpp"
#include "commands/values.hpp"
#include "commands/weight_flags.hpp"
#include "io/extension.hpp"
#include "io/pending_file.hpp"
#include "io/printable.hpp"

namespace stepvideo::commands {
namespace {

std::vector<std::string> names_in(const std::optional<std::string>& list) {
  std::vector<std::string> names;
  if (list)
    for (const auto name : *list | std::views::split(','))
      names.push_back(io::lower_case({name.begin(), name.end()}));
  return names;
}

/// Figures do not tell what made them.
bool is_nobodys() {
  return false;
}

void bench_linear(const Arguments& arguments) {
  MatmulSearchRequest request;
  OverwriteFlag own;
  std::string precision = "bf16,fp16,fp32";
  FlagParser parser("bench linear",
                    "searches the fastest algorithm of every matrix product of the model on this GPU");
  parser.flag("save", request.save, "write the table there, in the form of reference/plan/matmuls")
      .flag("precision", precision, "operands: bf16, fp16, fp32, with commas between [all]")
      .toggle("thorough", request.is_thorough,
              "try everything that the library has, for minutes a product, instead of its proposals and what "
              "resembles the best of them");
  own.declare(parser);
  if (!parser.parse(arguments)) return;
  request.precisions = names_in(precision);
  for (const auto& name : request.precisions)
    require(name == "bf16" || name == "fp16" || name == "fp32",
            [&] { return fmt::format("--precision: '{}' is none of bf16, fp16 and fp32", name); });
  if (request.save) {
    io::require_writable_output("--save", *request.save, {".json"});
    own.require_own("--save", *request.save, is_nobodys);
  }
  bench_matmuls(request);
}

place::Place find_gpu(const std::string& device) {
  const place::Choice choice = place::parse_choice(device);
  require(choice.kind == place::Choice::Kind::cuda,
          [&] { return fmt::format("--device {}: a GPU is to be measured; cuda works", device); });
  return place::find_place(choice);
}

/// `bench transformer`.
void bench_the_transformer(const Arguments& arguments) {
  TransformerBenchRequest request;
  std::string device = "cuda", precision = "bf16", attention = "bf16";
  FlagParser parser("bench transformer",
                    "a GPU's time of a block, beside its matrix work alone, and of all blocks");
  parser.flag("device", device, "cuda, cuda:N, or a UUID of nvidia-smi -L [cuda]")
      .flag("frames", request.video.frames, "frames of the video [204]")
      .flag("width", request.video.width, "its width [992]")
      .flag("height", request.video.height, "its height [544]")
      .flag("layers", request.layers, "blocks of the release's width, with random weights [48]")
      .flag("matrix-seconds", request.matrix_seconds, "for how long the matrix work alone is chained [10]")
      .choice("precision", precision, {"bf16", "fp8"}, "of the products: bf16 or fp8 [bf16]")
      .choice("attention", attention, {"bf16", "fp8"}, "of the video to itself: bf16 or fp8 [bf16]")
      .flag("pytorch", request.pytorch, "a Python whose PyTorch times the release's block first [none]");
  if (!parser.parse(arguments)) return;
  request.multiplies_in_fp8 = precision == "fp8";
  request.attends_in_fp8 = attention == "fp8";
  require_video_on_grid(request.video);
  constexpr int least_layers = 3, most_layers = 1000;  // the first and the last are not measured
  require(request.layers >= least_layers && request.layers <= most_layers, [&] {
    return fmt::format("--layers is {}; {} to {} works", request.layers, least_layers, most_layers);
  });
  require(request.matrix_seconds > 0,
          [&] { return fmt::format("--matrix-seconds is {}; more than 0 works", request.matrix_seconds); });
  // A build without the benches says so itself.
  bench_transformer(can_bench_models() ? find_gpu(device) : place::Place(), request);
}

/// `bench encoders`.
void bench_the_encoders(const Arguments& arguments) {
  std::string device = "cuda";
  FlagParser parser("bench encoders", "a GPU's time of both text encoders, with random weights");
  parser.flag("device", device, "cuda, cuda:N, or a UUID of nvidia-smi -L [cuda]");
  if (parser.parse(arguments)) bench_encoders(can_bench_models() ? find_gpu(device) : place::Place());
}

/// `bench links`.
void bench_the_links(const Arguments& arguments) {
  LinksBenchRequest request;
  std::string device = "cuda", exchange = "auto";
  bool shares_gpus = false;
  OverwriteFlag own;
  FlagParser parser("bench links",
                    "what the links between GPUs, and between host and GPU, give: for `plan --link`");
  parser.flag("device", device, "the first GPU: cuda, cuda:N, or a UUID of nvidia-smi -L [cuda]")
      .flag("gpus", request.ranks, "ranks that exchange [2]")
      .toggle("share-gpus", shares_gpus, "put several ranks on one GPU where there are too few")
      .choice("exchange", exchange, {"auto", "copies", "nccl"},
              "copies or nccl; auto is both where they can be [auto]")
      .flag("save", request.save, "write the rates there, as plan --link reads them");
  own.declare(parser);
  if (!parser.parse(arguments)) return;
  require(request.ranks >= 1 && request.ranks <= 64,
          [&] { return fmt::format("--gpus is {}; 1 to 64 works", request.ranks); });
  request.exchange.kind = pipeline::parse_exchange(exchange);
  if (request.save) {
    io::require_writable_output("--save", *request.save, {".json"});
    own.require_own("--save", *request.save, is_nobodys);
  }
  const place::Place place = can_bench_models()
                                 ? place::find_places(place::parse_choice(device),
                                                      {.ranks = request.ranks, .shares_gpus = shares_gpus})
                                 : place::Place();
  require(!can_bench_models() || place.is_gpu(),
          [&] { return fmt::format("--device {}: GPUs are to be measured; cuda works", device); });
  bench_links(place, request);
}

/// `bench vae`.
void bench_the_vae(const Arguments& arguments) {
  VaeBenchRequest request;
  std::string device = "cuda";
  std::optional<std::string> memory;
  std::string weights = "random:1", precision = "bf16";
  FlagParser parser("bench vae",
                    "a GPU's time of one decoded and one encoded chunk, by level and kind of work");
  parser.flag("device", device, "cuda, cuda:N, or a UUID of nvidia-smi -L [cuda]")
      .flag("frames", request.chunk.frames, "frames of the chunk: 17, or 1 for an image [17]")
      .flag("width", request.chunk.width, "their width [992]")
      .flag("height", request.chunk.height, "their height [544]")
      .flag("vae-memory", memory, "what a chunk may work in beside the weights, as in 6GB [6.5GB]")
      .choice("vae-precision", precision, {"bf16", "fp8"}, "bf16, or fp8: the decoder's convolutions [bf16]")
      .flag("weights", weights, "random:SEED, of the release's shapes [random:1]");
  if (!parser.parse(arguments)) return;
  request.convolves_in_fp8 = precision == "fp8";
  require_video_on_grid(request.chunk);
  require(request.chunk.frames <= VideoShape::chunk_frames,
          [&] { return fmt::format("--frames is {}; 17 and 1 work, a chunk each", request.chunk.frames); });
  if (memory) request.memory = {parse_size("--vae-memory", *memory), true};
  request.seed = parse_random_weights(weights);
  bench_vae(can_bench_models() ? find_gpu(device) : place::Place(), request);
}

}  // namespace

/// `bench kernels` and `bench` are one command; only the latter goes on to a model. `bench linear`,
/// `bench transformer`, `bench encoders`, `bench vae` and `bench links` are others.
void bench(const Arguments& arguments) {
  const std::string part = arguments.empty() ? "" : arguments.front();
  const Arguments rest(arguments.begin() + (arguments.empty() ? 0 : 1), arguments.end());
  if (part == "linear") return bench_linear(rest);
  if (part == "transformer") return bench_the_transformer(rest);
  if (part == "encoders") return bench_the_encoders(rest);
  if (part == "vae") return bench_the_vae(rest);
  if (part == "links") return bench_the_links(rest);
  const bool is_kernels = part == "kernels";
  require(is_kernels || part.empty() || part.starts_with("-"), [&] {
    return fmt::format("bench has no part '{}'; kernels, linear, transformer, encoders, vae and links are",
                       io::printable(part));
  });
  std::string device = "auto";
  std::optional<std::filesystem::path> model;
  std::optional<std::string> only;
  DeviceBenchRequest request;
  OverwriteFlag own;
  FlagParser parser(is_kernels ? "bench kernels" : "bench",
                    is_kernels ? "measures the kernels on this machine"
                               : "measures the kernels on this machine; bench transformer, encoders, vae and "
                                 "linear measure those on a GPU, each with --help of its own");
  parser.choice("device", device, {"auto", "cpu", "cuda"}, "auto, cpu or cuda [cuda where there is a GPU]")
      .on_threads()
      .flag("only", only, "cuda: benches by name, with commas between [all]")
      .flag("pytorch", request.pytorch, "cuda: a Python whose PyTorch is timed first, for the ratios [none]")
      .flag("json", request.json, "cuda: write the figures there as well");
  if (!is_kernels)
    parser.flag("model", model, "cpu: checkpoint folder; also time its transformer and its VAE decoder");
  own.declare(parser);
  if (!parser.parse(is_kernels ? rest : arguments)) return;
  const bool wants_device = only || request.pytorch || request.json;
  if (device == "auto") device = !model && (wants_device || can_bench_device()) ? "cuda" : "cpu";
  if (device == "cpu") {
    require(!wants_device, [] {
      return "--device cpu: --only, --pytorch and --json belong to the GPU's table; leave them out";
    });
    return bench_cpu(model);
  }
  require(!model, [] {
    return "--model: it is timed on the CPU; --device cpu works, and stepvideo bench transformer times a "
           "GPU's";
  });
  if (request.json) {
    io::require_writable_output("--json", *request.json, {".json"});
    own.require_own("--json", *request.json, is_nobodys);
  }
  request.only = names_in(only);
  bench_device(request);
}

}  // namespace stepvideo::commands
