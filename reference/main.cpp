// stepvideo COMMAND [flags]: exit 0 done, 1 the run failed, 2 the request was wrong, 128 and the signal where
// one stopped it.
#include <algorithm>
#include <csignal>
#include <new>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "commands/command.hpp"
#include "commands/flag_words.hpp"
#include "exit_code.hpp"
#include "interrupt.hpp"
#include "io/json.hpp"
#include "last_words.hpp"
#include "pipeline/memory.hpp"
#include "process_limits.hpp"

namespace {

using namespace stepvideo;

constexpr int exit_done = 0, exit_failed = 1, exit_wrong_request = 2;

void print_help() {
  fmt::print(
      "stepvideo: runs Step-Video-T2V, from prompt to video\n\nstepvideo COMMAND [flags]; COMMAND --help "
      "lists its flags, COMMAND --help all every one.\n\n");
  for (const auto& command : commands::all_commands())
    fmt::print("  {:<14} {}\n", command.name, command.summary);
}

/// "help bench vae all" asks for what "bench vae --help all" does.
commands::Arguments asked_for_help(commands::Arguments arguments) {
  const bool wants_all = arguments.back() == "all";
  if (wants_all) arguments.pop_back();
  arguments.emplace_back("--help");
  if (wants_all) arguments.emplace_back("all");
  return {arguments.begin() + 1, arguments.end()};
}

/// A script with the line ends of Windows hands one over that nobody sees.
void require_no_carriage_return(const commands::Arguments& arguments) {
  for (const std::string& argument : arguments)
    require(!argument.ends_with('\r'), [&] {
      return fmt::format(
          "{} ends in a carriage return (\\r), as in a script with the line ends of Windows; "
          "one with those of Unix works: sed -i 's/\\r$//' SCRIPT",
          io::in_quotes(argument));
    });
}

void run(commands::Arguments arguments) {
  require_no_carriage_return(arguments);
  const auto is_help = [](const std::string& word) {
    return word == "--help" || word == "-h" || word == "help";
  };
  if (arguments.empty() || (is_help(arguments[0]) && (arguments.size() == 1 || arguments[1] == "all")))
    return print_help();
  if (is_help(arguments[0])) arguments = asked_for_help(std::move(arguments));
  if (arguments[0] == "--version") return fmt::print("stepvideo {}\n", STEPVIDEO_VERSION);
  const auto& all = commands::all_commands();
  const auto command =
      std::ranges::find(all, arguments[0], [](const auto& c) { return std::string(c.name); });
  if (command == all.end()) {
    std::vector<std::string> names;
    for (const auto& known : all) names.emplace_back(known.name);
    throw RequestError(commands::unknown_command_text(arguments[0], names));
  }
  command->run({arguments.begin() + 1, arguments.end()});
}

/// The exit code for the exception in flight; says what it was.
int say_why() {
  try {
    throw;
  } catch (const ExitCode& code) {
    return code.value;
  } catch (const StoppedAsAsked&) {
    return exit_done;
  } catch (const Interrupted& interrupt) {
    say_failure(interrupt.what());
    return interrupt_exit_code();
  } catch (const RequestError& error) {
    say_failure(error.what());
    return exit_wrong_request;
  } catch (const std::bad_alloc&) {
    say_failure(pipeline::out_of_memory);
  } catch (const std::system_error& error) {
    say_failure(error.code() == std::errc::resource_unavailable_try_again
                    ? "no more threads can be made; a higher ulimit -u, or more pids for the container, works"
                    : error.what());
  } catch (const std::exception& error) {
    say_failure(error.what());
  }
  return exit_failed;
}

}  // namespace

int main(int count, char** values) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of the one that writes it
  try {
    return within_limits(values, [&] {
      run({values + 1, values + count});
      LastWords::run_is_over();
      return exit_done;
    });
  } catch (...) {
    LastWords::run_is_over();
    return say_why();
  }
}
