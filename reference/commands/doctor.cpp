#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string_view>

#include <fmt/format.h>
#include <unistd.h>

#include "commands/command.hpp"
#include "commands/options.hpp"
#include "commands/overwrite_flag.hpp"
#include "doctor/diagnosis.hpp"
#include "doctor/probe.hpp"
#include "exit_code.hpp"
#include "io/pending_file.hpp"

namespace stepvideo::commands {
namespace {

std::string dump(const io::Json& json) {
  return json.dump(2, ' ', false, io::Json::error_handler_t::replace) + "\n";
}

/// Whether doctor recorded it.
bool holds_facts(const std::filesystem::path& path) {
  try {
    doctor::read_machine_facts(path);
    return true;
  } catch (const RequestError&) {
    return false;
  }
}

void record(const std::filesystem::path& path, const doctor::MachineFacts& facts) {
  io::PendingFile file(path);
  std::ofstream stream(file.temporary());
  stream << dump(doctor::to_json(facts));
  stream.close();
  if (!stream) throw Error(fmt::format("{} cannot be written to its end", path.string()));
  file.publish();
}

/// Whether verdicts may be coloured on standard output.
bool shows_color() {
  const auto value = [](const char* name) {
    const char* const text = std::getenv(name);
    return std::string_view(text != nullptr ? text : "");
  };
  return isatty(STDOUT_FILENO) == 1 && value("NO_COLOR").empty() && !value("TERM").empty() &&
         value("TERM") != "dumb";
}

}  // namespace

void doctor(const Arguments& arguments) {
  doctor::Request request;
  std::filesystem::path output = ".";
  std::optional<std::filesystem::path> facts_file, record_file;
  bool wants_json = false;
  OverwriteFlag own;
  FlagParser parser("doctor",
                    "says whether this machine will run, and what to fix; exit 0 yes, 1 with warnings, 2 no");
  parser.flag("gpus", request.gpus, "GPUs wanted, 0 for the CPU alone [all that are visible]")
      .flag("model", request.model, "also check this checkpoint folder, part by part")
      .flag("output", output, "where results will be written [.]")
      .flag("facts", facts_file, "judge the machine recorded there instead of this one")
      .flag("record", record_file, "write this machine's facts there, for a report of a fault (.json)")
      .toggle("json", wants_json, "print one JSON object");
  own.declare(parser);
  if (!parser.parse(arguments)) return;
  require(!facts_file || !record_file, [] {
    return "--facts and --record are both given; --record writes what --facts reads, so one of them works";
  });
  require(!request.gpus || *request.gpus >= 0,
          [&] { return fmt::format("--gpus is {}; 0 (the CPU alone) or more works", *request.gpus); });
  if (record_file) {
    io::require_writable_output("--record", *record_file, {".json"});
    own.require_own("--record", *record_file, [&] { return holds_facts(*record_file); });
  }

  const bool is_thorough = record_file || request.gpus.value_or(0) > 0;
  const auto facts =
      facts_file ? doctor::read_machine_facts(*facts_file) : doctor::probe_machine(output, is_thorough);
  const auto diagnosis = doctor::diagnose(facts, request);
  if (record_file) record(*record_file, facts);
  std::cout << (wants_json ? dump(doctor::to_json(diagnosis, facts))
                           : doctor::to_text(diagnosis, shows_color()))
            << std::flush;
  if (!std::cout) throw Error("standard output cannot be written");
  if (diagnosis.exit_code() != 0) throw ExitCode{diagnosis.exit_code()};
}

}  // namespace stepvideo::commands
