// Some ranks of a wire, as if there were no others.
#pragma once
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>

#include <stepvideo/comm/rank_wire.hpp>

namespace stepvideo {

/// The ranks [first, first + ranks) of a wire that outlives this, counted from 0. Between two of them nothing
/// else may be said on that wire meanwhile.
class GroupWire final : public RankWire {
 public:
  GroupWire(RankWire& all, int first, int ranks) : all_(all), first_(first), ranks_(ranks) {}

  int rank() const override { return all_.rank() - first_; }
  int ranks() const override { return ranks_; }

  void post(int rank, Channel channel, std::span<const std::byte> message) override {
    all_.post(first_ + rank, channel, message);
  }
  std::optional<Message> take(int rank, Channel channel) override {
    return all_.take(first_ + rank, channel);
  }
  bool is_posted() override { return all_.is_posted(); }
  void begin_send(int rank, std::span<const std::byte> bytes) override {
    all_.begin_send(first_ + rank, bytes);
  }
  void begin_receive(int rank, std::span<std::byte> bytes) override {
    all_.begin_receive(first_ + rank, bytes);
  }
  bool is_moved() override { return all_.is_moved(); }
  void drop_moves() override { all_.drop_moves(); }
  void pause() override { all_.pause(); }
  bool is_gone(int rank) const override { return all_.is_gone(first_ + rank); }
  std::string why_gone(int rank) const override { return all_.why_gone(first_ + rank); }
  bool outlives_ranks() const override { return all_.outlives_ranks(); }
  [[noreturn]] void abort() override {
    all_.abort();
    std::abort();  // none of them returns
  }

 private:
  RankWire& all_;
  int first_, ranks_;
};

}  // namespace stepvideo
