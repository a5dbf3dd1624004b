// --device, and what is known of the place that was found for it.
#define BOOST_TEST_MODULE place
#include "place/place.hpp"

#include <vector>

#include <boost/test/unit_test.hpp>

#include <stepvideo/core/error.hpp>

#include "plan/hardware_here.hpp"

using namespace stepvideo;

namespace {

place::GpuDescription gpu(const std::string& name, int major, int minor, int multiprocessors, double gib) {
  const auto bytes = static_cast<std::uint64_t>(gib * (1 << 30));
  return {.ordinal = 0,
          .name = name,
          .uuid = {},
          .bus_id = {},
          .major = major,
          .minor = minor,
          .multiprocessors = multiprocessors,
          .memory_bytes = bytes,
          .free_bytes = bytes};
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_choice_reads_as_it_is_written) {
  using Kind = place::Choice::Kind;
  BOOST_CHECK(place::parse_choice("auto").kind == Kind::automatic);
  BOOST_CHECK(place::parse_choice("cpu").kind == Kind::cpu);
  BOOST_CHECK(place::parse_choice("cuda").kind == Kind::cuda);
  BOOST_CHECK_EQUAL(place::parse_choice("cuda:7").ordinal, 7);
  BOOST_CHECK(place::parse_choice("CPU").kind == Kind::cpu);
  BOOST_CHECK_EQUAL(place::parse_choice("Cuda:7").ordinal, 7);
  constexpr auto uuid = "GPU-8f3c2a60-1b2d-4e5f-8a9b-0c1d2e3f4a5b",
                 slice = "MIG-8f3c2a60-1b2d-4e5f-8a9b-0c1d2e3f4a5b",
                 old_slice = "MIG-GPU-8f3c2a60-1b2d-4e5f-8a9b-0c1d2e3f4a5b/1/0";
  for (const std::string which : {uuid, slice, old_slice}) {
    BOOST_CHECK_EQUAL(place::parse_choice(which).uuid, which);
    BOOST_CHECK_EQUAL(place::parse_choice("cuda:" + which).uuid, which);
  }
  for (const std::string text : {"auto", "cpu", "cuda:0", "cuda:3", "cuda:GPU-8f3c2a60"})
    BOOST_CHECK_EQUAL(to_string(place::parse_choice(text)), text);
}

BOOST_AUTO_TEST_CASE(what_is_no_device_is_refused_with_what_is) {
  for (const std::string text : {"", "gpu", "cuda:", "cuda:-1", "cuda:1x", "cuda:99999999999", "cuda1", "1",
                                 "GPU-", "GPU-zz", "cpu:0"})
    BOOST_CHECK_EXCEPTION(place::parse_choice(text), RequestError, [&](const RequestError& error) {
      const std::string message = error.what();
      return message.find("--device: '" + text + "'") == 0 && message.find("cuda:1") != std::string::npos;
    });
}

BOOST_AUTO_TEST_CASE(a_known_gpu_has_its_file_with_the_memory_that_is_there) {
  const auto h200 = plan::hardware_of(gpu("NVIDIA H200", 9, 0, 132, 139.8));
  BOOST_CHECK_EQUAL(h200.name, "h200");
  BOOST_CHECK_CLOSE(h200.memory_bytes, 139.8 * (1 << 30), 1e-3);
  BOOST_CHECK_EQUAL(plan::hardware_of(gpu("NVIDIA H20", 9, 0, 78, 95)).name, "h20");
  BOOST_CHECK_EQUAL(plan::hardware_of(gpu("NVIDIA H100 80GB HBM3", 9, 0, 132, 79)).name, "h100");
  BOOST_CHECK_EQUAL(plan::hardware_of(gpu("NVIDIA A100-SXM4-80GB", 8, 0, 108, 79)).name, "a100");
  BOOST_CHECK_EQUAL(plan::hardware_of(gpu("NVIDIA GeForce RTX 4090", 8, 9, 128, 23.6)).name, "rtx4090");
}

BOOST_AUTO_TEST_CASE(an_unknown_gpu_is_estimated_by_its_multiprocessors_and_says_so) {
  const auto unknown = plan::hardware_of(gpu("NVIDIA A40", 8, 6, 54, 44));
  const auto known = plan::load_hardware("a100");
  BOOST_CHECK_EQUAL(unknown.name, "NVIDIA A40");
  BOOST_CHECK(unknown.description.find("estimated from the a100") != std::string::npos);
  BOOST_CHECK_CLOSE(unknown.at(plan::Arithmetic::bf16).linear, known.at(plan::Arithmetic::bf16).linear / 2,
                    1e-9);
}

BOOST_AUTO_TEST_CASE(a_gpu_without_code_for_it_is_named_with_the_build_that_has_some) {
  const auto missing = [](int major, int minor, std::vector<int> built) {
    return place::missing_code(gpu("NVIDIA X", major, minor, 100, 80), built);
  };
  BOOST_CHECK_EQUAL(missing(9, 0, {900}), "");
  BOOST_CHECK_EQUAL(missing(8, 9, {860}), "");        // newer of the same kind
  BOOST_CHECK_EQUAL(missing(10, 3, {800, 900}), "");  // by PTX
  BOOST_CHECK(missing(8, 0, {900}).find("STEPVIDEO_CUDA_ARCHITECTURES=80-real") != std::string::npos);
  BOOST_CHECK_NE(missing(8, 0, {860}), "");
  BOOST_CHECK_NE(missing(10, 0, {900}), "");
}

BOOST_AUTO_TEST_CASE(the_cpu_is_asked_for_without_a_look_at_gpus) {
  const place::Place cpu = place::find_place(place::parse_choice("cpu"));
  BOOST_CHECK(!cpu.is_gpu());
  BOOST_CHECK_EQUAL(cpu.name(), "the CPU");
  BOOST_CHECK_NO_THROW(place::require_free_memory(cpu, 1e30));
}
