#define BOOST_TEST_MODULE gpu
#include <boost/test/unit_test.hpp>

#include <thread>

#include <sys/wait.h>
#include <unistd.h>

#include <stepvideo/core/gpu.cuh>
#include <stepvideo/core/transfer.hpp>
#include <stepvideo/kernels/sampler/noise.cuh>

#include "support/device.cuh"

using namespace stepvideo;
using stepvideo::testing::NeedsDevice;

BOOST_GLOBAL_FIXTURE(NeedsDevice);

BOOST_AUTO_TEST_CASE(a_gpu_that_is_not_there_is_refused_by_number) {
  BOOST_CHECK_EXCEPTION(Gpu(4096), RequestError, [](const RequestError& error) {
    return std::string(error.what()).find("GPU 4096 was asked for") != std::string::npos;
  });
}

BOOST_AUTO_TEST_CASE(buffers_lie_in_the_pool_and_leave_it) {
  const Gpu gpu(0);
  BOOST_TEST(gpu.used_bytes() == 0u);
  {
    const Buffer<float, Device> values(gpu.compute(), 1 << 20);
    BOOST_TEST(gpu.used_bytes() >= values.size_bytes());
  }
  synchronize(gpu.compute());
  BOOST_TEST(gpu.used_bytes() == 0u);
  BOOST_TEST(gpu.peak_bytes() >= std::size_t{4} << 20);
  gpu.reset_peak();
  BOOST_TEST(gpu.peak_bytes() == 0u);
}

BOOST_AUTO_TEST_CASE(a_stream_waits_for_another) {
  const Gpu gpu(0);
  constexpr index_t size = 1 << 24;
  const Buffer<float, Device> values(gpu.compute(), size);
  const Buffer<float> expected(size), result(size);
  fill_unit_normal(host, 7, 0, expected.vector());
  for (int run = 0; run < 3; ++run) {
    check(cudaMemsetAsync(values.data(), 0xFF, values.size_bytes(), gpu.compute().stream));
    fill_unit_normal(gpu.compute(), 7, 0, values.vector());
    gpu.order(gpu.compute(), gpu.copies());
    copy(gpu.copies(), values, result);
    synchronize(gpu.copies());
    BOOST_TEST((std::memcmp(result.data(), expected.data(), result.size_bytes()) == 0));
  }
}

BOOST_AUTO_TEST_CASE(another_thread_frees_a_buffer_where_it_lies) {
  const Gpu gpu(0);
  Buffer<float, Device> values(gpu.compute(), 1000);
  std::thread([taken = std::move(values)] {}).join();
  synchronize(gpu.compute());
  BOOST_TEST(gpu.used_bytes() == 0u);
}

BOOST_AUTO_TEST_CASE(a_buffer_that_outlives_its_gpu_stops_the_program) {
  // In a process of its own, before this one's CUDA would be shared: the program runs itself again.
  const auto& suite = boost::unit_test::framework::master_test_suite();
  if (suite.argc > 1 && std::string(suite.argv[1]) == "outlive") {
    Buffer<float, Device> values;
    const Gpu gpu(0);
    values = Buffer<float, Device>(gpu.compute(), 1000);
    return;
  }
  const std::string again = std::string(suite.argv[0]) +
                            " --run_test=a_buffer_that_outlives_its_gpu_stops_the_program"
                            " --catch_system_errors=no -- outlive >/dev/null 2>&1";
  const int status = std::system(again.c_str());
  BOOST_TEST(status != 0);
}
