#include <algorithm>
#include <array>
#include <iostream>

#include <fmt/format.h>

#include "commands/command.hpp"
#include "commands/options.hpp"
#include "trace/report.hpp"

namespace stepvideo::commands {

void explain(const Arguments& arguments) {
  std::vector<std::string> words;
  bool compares = false, wants_json = false;
  FlagParser parser("explain",
                    "what a run did, from its event logs: explain events.ndjson [more.ndjson ...]");
  parser.words(words)
      .toggle("compare", compares, "two logs (or folders of logs) are two runs: what changed from the first")
      .toggle("json", wants_json, "print JSON");
  if (!parser.parse(arguments)) return;
  const std::vector<std::filesystem::path> logs(words.begin(), words.end());
  require(!logs.empty(), [] {
    return "explain: no log is named; give the files that --log-file wrote, one a rank, or their folder";
  });
  require(std::ranges::none_of(logs, &std::filesystem::path::empty),
          [] { return "explain: a log's name is empty; give the path of a file that --log-file wrote"; });

  if (compares) {
    require(logs.size() == 2, [&] {
      return fmt::format("--compare takes two logs or folders of logs and {} {} given", logs.size(),
                         logs.size() == 1 ? "is" : "are");
    });
    const auto first = trace::explain_run({logs[0]}), second = trace::explain_run({logs[1]});
    if (wants_json)
      std::cout << trace::compare_json(first, second).dump(2) << '\n';
    else
      std::cout << trace::compare_text(first, second);
    return;
  }
  const auto explained = trace::explain_run(logs);
  if (wants_json)
    std::cout << trace::to_json(explained).dump(2) << '\n';
  else
    std::cout << trace::to_text(explained);
}

}  // namespace stepvideo::commands
