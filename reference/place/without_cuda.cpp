// The places of a build without CUDA: the CPU.
#include <limits>

#include <stepvideo/core/error.hpp>

#include "place/place.hpp"

namespace stepvideo::place {

struct Place::Shared {};

Place::Place(GpuDescription) {}

const GpuDescription& Place::gpu() const {
  throw Error("this program was built without CUDA and has no GPU");
}

std::string Place::name() const {
  return "the CPU";
}

std::size_t Place::budget_left() const {
  return std::numeric_limits<std::size_t>::max();
}

Accelerator& Place::accelerator() const {
  throw Error("this program was built without CUDA and has no GPU");
}

Place find_place(const Choice& choice) {
  require(choice.kind != Choice::Kind::cuda, [&] {
    return "--device " + to_string(choice) +
           ": this program was built without CUDA; --device cpu works, or a build where nvcc is found";
  });
  return {};
}

Place find_places(const Choice& choice, const RankPlaces&) {
  return find_place(choice);
}

void let_reach(const Place&, int) {}

}  // namespace stepvideo::place
