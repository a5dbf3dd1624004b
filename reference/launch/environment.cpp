#include "launch/environment.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "io/model_digest.hpp"

namespace stepvideo::launch {
namespace {

constexpr int largest_port = 65535 - Rendezvous::ports;

/// The variables of one environment.
class Variables {
 public:
  explicit Variables(const Environment& environment) : environment_(environment) {}

  bool has(const char* name) const { return environment_(name) != nullptr; }
  std::string text(const char* name, const std::string& otherwise = "") const {
    const char* const value = environment_(name);
    return value != nullptr ? value : otherwise;
  }
  /// A whole number from `least` to `most`.
  int number(const char* name, int least, int most) const {
    require(has(name), [&] {
      return fmt::format("{} is not set for this process; a launcher of several sets it for each", name);
    });
    const std::string value = text(name);
    int number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    require(
        error == std::errc{} && end == value.data() + value.size() && number >= least && number <= most, [&] {
          return fmt::format("{} is \"{}\"; a whole number from {} to {} works", name, value, least, most);
        });
    return number;
  }
  int number(const char* name, int least, int most, int otherwise) const {
    return has(name) ? number(name, least, most) : otherwise;
  }

 private:
  const Environment& environment_;
};

constexpr int most_ranks = 1 << 16;

/// The first host of Slurm's "node[03-04,07],other".
std::string first_host(const std::string& list) {
  const auto bracket = list.find('['), end = list.find_first_of(",[");
  std::string host = list.substr(0, end);
  if (end != bracket || end == list.npos) return host;
  return host + list.substr(bracket + 1, list.find_first_of("-,]", bracket) - bracket - 1);
}

/// Of Slurm's "4(x2),3", a number of tasks for each host, that of host number `host`.
int tasks_of_host(const std::string& list, int host, int otherwise) {
  for (std::string_view rest = list; !rest.empty();) {
    const std::string_view each = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), each.size() + 1));
    const auto number_at = [&](std::size_t at, int none) {
      int number = none;
      if (at < each.size()) std::from_chars(each.data() + at, each.data() + each.size(), number);
      return number;
    };
    const auto times = each.find("(x");
    const int tasks = number_at(0, otherwise), hosts = times == each.npos ? 1 : number_at(times + 2, 1);
    if (host < hosts) return std::max(tasks, 1);
    host -= hosts;
  }
  return otherwise;
}

/// What the processes of this launch, and none of another, are told alike.
JobToken token_of(const Variables& variables) {
  std::string words = variables.text("STEPVIDEO_TOKEN");
  if (words.empty())
    for (const char* const name : {"TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "MASTER_ADDR",
                                   "MASTER_PORT", "SLURM_JOB_ID", "SLURM_STEP_ID"})
      words += variables.text(name) + '\n';
  JobToken token{};
  io::text_digest(words).copy(token.data(), token.size());
  return token;
}

Launched on_sockets(const Variables& variables, int ranks, int here, const char* local, bool knows_hosts,
                    Rendezvous meeting) {
  meeting.ranks = ranks;
  meeting.is_on_one_host = knows_hosts && here == ranks;
  // A host's own name may be an address that the others do not have.
  if (meeting.is_on_one_host) meeting.host = "127.0.0.1";
  meeting.token = token_of(variables);
  meeting.patience = std::chrono::seconds(variables.number("STEPVIDEO_LAUNCH_SECONDS", 1, 86400, 60));
  const int number = variables.number(local, 0, most_ranks, meeting.rank % here);
  return {ranks, here, number, std::move(meeting)};
}

Launched by_torchrun(const Variables& variables) {
  const int ranks = variables.number("WORLD_SIZE", 1, most_ranks);
  if (ranks == 1) return {};
  Rendezvous meeting{.rank = variables.number("RANK", 0, ranks - 1)};
  meeting.host = variables.text("MASTER_ADDR");
  require(!meeting.host.empty(), [] {
    return "MASTER_ADDR is not set for this process; with RANK and WORLD_SIZE it is the host of rank 0";
  });
  meeting.first_port = variables.number("MASTER_PORT", 1, largest_port);
  // There torchrun itself listens.
  if (variables.text("TORCHELASTIC_USE_AGENT_STORE") == "True") ++meeting.first_port;
  return on_sockets(variables, ranks, variables.number("LOCAL_WORLD_SIZE", 1, ranks, ranks), "LOCAL_RANK",
                    variables.has("LOCAL_WORLD_SIZE"), std::move(meeting));
}

Launched by_srun(const Variables& variables) {
  const int ranks = variables.number("SLURM_STEP_NUM_TASKS", 1, most_ranks);
  if (ranks == 1) return {};
  Rendezvous meeting{.rank = variables.number("SLURM_PROCID", 0, ranks - 1)};
  meeting.host = variables.text("MASTER_ADDR", first_host(variables.text("SLURM_STEP_NODELIST")));
  require(!meeting.host.empty(), [] {
    return "SLURM_STEP_NODELIST is not set for this process; MASTER_ADDR, the host of rank 0, works as well";
  });
  // Steps of one job and jobs of one host have ports of their own.
  const int job = variables.number("SLURM_JOB_ID", 0, 1 << 30, 0),
            step = variables.number("SLURM_STEP_ID", 0, 1 << 30, 0);
  meeting.first_port =
      variables.number("MASTER_PORT", 1, largest_port, 20000 + Rendezvous::ports * ((job * 7 + step) % 1000));
  const int here = tasks_of_host(variables.text("SLURM_STEP_TASKS_PER_NODE"),
                                 variables.number("SLURM_NODEID", 0, most_ranks, 0), ranks);
  return on_sockets(variables, ranks, std::min(here, ranks), "SLURM_LOCALID",
                    variables.has("SLURM_STEP_TASKS_PER_NODE"), std::move(meeting));
}

}  // namespace

Launched launched_by(const Environment& environment) {
  const Variables variables(environment);
  if (variables.has("OMPI_COMM_WORLD_SIZE"))
    return {variables.number("OMPI_COMM_WORLD_SIZE", 1, most_ranks),
            variables.number("OMPI_COMM_WORLD_LOCAL_SIZE", 1, most_ranks, 1),
            variables.number("OMPI_COMM_WORLD_LOCAL_RANK", 0, most_ranks, 0)};
  if (variables.has("WORLD_SIZE")) return by_torchrun(variables);
  if (variables.has("SLURM_STEP_NUM_TASKS")) return by_srun(variables);
  if (variables.has("PMI_SIZE"))
    return {variables.number("PMI_SIZE", 1, most_ranks),
            variables.number("MPI_LOCALNRANKS", 1, most_ranks, 1),
            variables.number("MPI_LOCALRANKID", 0, most_ranks, 0)};
  return {};
}

Launched launched() {
  return launched_by([](const char* name) { return std::getenv(name); });
}

}  // namespace stepvideo::launch
