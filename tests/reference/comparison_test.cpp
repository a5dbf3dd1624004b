// What a run's arithmetic costs, in the figures that others use.
#define BOOST_TEST_MODULE comparison
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

#include "io/video.hpp"
#include "pipeline/similarity.hpp"
#include "support/program.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;
using pipeline::Similarity;

namespace {

constexpr index_t height = 21, width = 30;

std::vector<std::uint8_t> noise(unsigned seed) {
  std::mt19937 engine(seed);
  std::vector<std::uint8_t> values(height * width);
  for (auto& value : values) value = static_cast<std::uint8_t>(60 + engine() % 100);
  return values;
}

/// SSIM of whole pictures of doubles, window by window, as the paper writes it: means, then deviations.
double naive_ssim(const std::vector<std::uint8_t>& a, const std::vector<std::uint8_t>& b) {
  double sum = 0;
  int windows = 0;
  const std::vector<index_t> tops{0, 4, 8, 12, 13}, lefts{0, 4, 8, 12, 16, 20, 22};
  for (const index_t top : tops)
    for (const index_t left : lefts) {
      const auto mean_of = [&](auto&& value) {
        double total = 0;
        for (index_t y = top; y < top + 8; ++y)
          for (index_t x = left; x < left + 8; ++x) total += value(static_cast<std::size_t>(y * width + x));
        return total / 64;
      };
      const double mean_a = mean_of([&](auto i) { return a[i]; }),
                   mean_b = mean_of([&](auto i) { return b[i]; });
      const double variance_a = mean_of([&](auto i) { return std::pow(a[i] - mean_a, 2); }),
                   variance_b = mean_of([&](auto i) { return std::pow(b[i] - mean_b, 2); }),
                   covariance = mean_of([&](auto i) { return (a[i] - mean_a) * (b[i] - mean_b); });
      constexpr double c1 = 0.01 * 255 * 0.01 * 255, c2 = 0.03 * 255 * 0.03 * 255;
      sum += (2 * mean_a * mean_b + c1) * (2 * covariance + c2) /
             ((mean_a * mean_a + mean_b * mean_b + c1) * (variance_a + variance_b + c2));
      ++windows;
    }
  return sum / windows;
}

struct Figures {
  double latents_psnr = 0, latents_ssim = 0, frames_psnr = 0, frames_ssim = 0;
};

}  // namespace

BOOST_AUTO_TEST_CASE(what_is_the_same_differs_by_nothing) {
  const auto picture = noise(1);
  Similarity similarity(255);
  similarity.add(picture.data(), picture.data(), height, width);
  BOOST_CHECK(std::isinf(similarity.psnr()));
  BOOST_CHECK_CLOSE(similarity.ssim(), 1.0, 1e-9);
}

BOOST_AUTO_TEST_CASE(one_level_everywhere_is_48_decibels) {
  const auto picture = noise(1);
  auto brighter = picture;
  for (auto& value : brighter) ++value;
  Similarity similarity(255);
  similarity.add(picture.data(), brighter.data(), height, width);
  BOOST_CHECK_CLOSE(similarity.psnr(), 20 * std::log10(255.0), 1e-9);
}

BOOST_AUTO_TEST_CASE(structure_is_the_papers) {
  const auto one = noise(1);
  auto other = noise(2);
  for (std::size_t i = 0; i < other.size(); ++i)
    other[i] = static_cast<std::uint8_t>((3 * one[i] + other[i]) / 4);
  Similarity similarity(255);
  similarity.add(one.data(), other.data(), height, width);
  BOOST_CHECK_CLOSE(similarity.ssim(), naive_ssim(one, other), 1e-6);
  BOOST_CHECK_LT(similarity.ssim(), 0.99);
}

BOOST_AUTO_TEST_CASE(planes_add_up_and_may_be_interleaved) {
  const auto one = noise(1), other = noise(2);
  std::vector<std::uint8_t> both_one, both_other;
  for (std::size_t i = 0; i < one.size(); ++i) {
    both_one.insert(both_one.end(), {one[i], other[i]});
    both_other.insert(both_other.end(), {other[i], other[i]});
  }
  Similarity apart(255), interleaved(255), same(255);
  apart.add(one.data(), other.data(), height, width);
  same.add(other.data(), other.data(), height, width);
  apart.add(same);
  for (int channel = 0; channel < 2; ++channel)
    interleaved.add(both_one.data() + channel, both_other.data() + channel, height, width, 2);
  BOOST_CHECK_CLOSE(apart.psnr(), interleaved.psnr(), 1e-9);
  BOOST_CHECK_CLOSE(apart.ssim(), interleaved.ssim(), 1e-9);
}

BOOST_AUTO_TEST_CASE(generate_says_how_far_it_is_from_the_same_run_in_another_precision) {
  const ScratchFolder folder;
  const auto generate = [&](const std::string& name, const StringList& more) {
    const auto result = run_program(
        with({"generate", "--model", STEPVIDEO_DEMO_MODEL, "--device", "cpu", "--prompt", "a red circle",
              "--height", "64", "--width", "48", "--steps", "3", "--output", (folder / name).string()},
             more));
    check_says(result, 0, {});
    return result.output;
  };
  const std::string said = generate("bf16.safetensors", {"--precision", "bf16", "--compare-with", "fp32"});
  Figures figures;
  BOOST_REQUIRE_EQUAL(
      std::sscanf(said.c_str(),
                  "against the same run in fp32: latents %lf dB, SSIM %lf; frames %lf dB, SSIM %lf",
                  &figures.latents_psnr, &figures.latents_ssim, &figures.frames_psnr, &figures.frames_ssim),
      4);
  BOOST_CHECK_EQUAL(folder.names().size(), 1u);  // what the other run took is gone
  generate("fp32.safetensors", {"--precision", "fp32"});

  const auto one = io::read_video(folder / "bf16.safetensors"),
             other = io::read_video(folder / "fp32.safetensors");
  const auto level = [](float value) {
    return std::floor((std::clamp(value, -1.0f, 1.0f) + 1) * 127.5 + 0.5);
  };
  double error = 0;
  for (index_t i = 0; i < one.pixels.size(); ++i)
    error += std::pow(level(one.pixels[i]) - level(other.pixels[i]), 2);
  const double psnr = 10 * std::log10(255.0 * 255 * static_cast<double>(one.pixels.size()) / error);
  BOOST_CHECK_SMALL(figures.frames_psnr - psnr, 0.02);
  BOOST_CHECK(figures.frames_ssim > 0.5 && figures.frames_ssim <= 1);
  BOOST_CHECK(figures.latents_psnr > 20 && figures.latents_psnr < 80);
  BOOST_CHECK(figures.latents_ssim > 0.5 && figures.latents_ssim <= 1);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_compared_is_refused) {
  const ScratchFolder folder;
  const auto refuse = [&](const StringList& more, const std::string& phrase) {
    check_says(run_program(with({"generate", "--model", STEPVIDEO_DEMO_MODEL, "--device", "cpu", "--prompt",
                                 "a", "--output", (folder / "v.mp4").string()},
                                more)),
               2, {phrase});
  };
  refuse({"--compare-with", "fp64"}, "--compare-with: 'fp64' is not one of");
  refuse({"--precision", "bf16", "--compare-with", "bf16"}, "the run is in bf16 already");
  refuse({"--compare-with", "bf16", "--count", "2"}, "--compare-with compares one video");
}
