// Completion in bash: what Tab offers.
#define BOOST_TEST_MODULE completion
#include <fstream>
#include <set>
#include <sstream>

#include "support/program.hpp"

using namespace stepvideo::testing;

namespace {

/// What is offered for the last of the words.
std::set<std::string> offered(const StringList& words) {
  const ScratchFolder folder;
  std::ofstream script(folder / "complete.sh");
  script << "eval \"$('" STEPVIDEO_PROGRAM "' completion bash)\" || exit 9\nCOMP_WORDS=('" STEPVIDEO_PROGRAM
            "'";
  for (const auto& word : words) script << " '" << word << "'";
  script << ")\nCOMP_CWORD=" << words.size() << "\n_stepvideo\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n";
  script.close();
  const std::string line =
      "bash '" + (folder / "complete.sh").string() + "' >'" + (folder / "out").string() + "' 2>&1";
  BOOST_CHECK_EQUAL(exit_code_of(std::system(line.c_str())), 0);
  std::istringstream lines(read_text(folder / "out"));
  std::set<std::string> offers;
  for (std::string offer; std::getline(lines, offer);)
    if (!offer.empty()) offers.insert(offer);
  return offers;
}

using Offers = std::set<std::string>;

}  // namespace

BOOST_AUTO_TEST_CASE(commands_are_completed) {
  BOOST_CHECK(offered({"gen"}) == Offers{"generate"});
  BOOST_CHECK((offered({"encode"}) == Offers{"encode", "encode-text", "encode-tokens"}));
  BOOST_CHECK(offered({"help", "doc"}) == Offers{"doctor"});
  BOOST_CHECK((offered({"bench", "v"}) == Offers{"vae"}));
}

BOOST_AUTO_TEST_CASE(flags_are_those_of_the_command) {
  BOOST_CHECK((offered({"generate", "--pre"}) ==
               Offers{"--precision", "--preset", "--preview", "--preview-every", "--preview-path"}));
  BOOST_CHECK(offered({"decode", "--ste"}).empty());
  BOOST_CHECK(offered({"bench", "vae", "--vae-m"}) == Offers{"--vae-memory"});
}

BOOST_AUTO_TEST_CASE(values_are_those_of_the_flag) {
  BOOST_CHECK((offered({"convert", "--dtype", "fp"}) == Offers{"fp16", "fp32", "fp8"}));
  BOOST_CHECK((offered({"generate", "--device", ""}) == Offers{"auto", "cpu", "cuda"}));
  BOOST_CHECK((offered({"plan", "--gpu", "h"}) == Offers{"h100", "h20", "h200"}));
  BOOST_CHECK((offered({"encode", "--fit", "=", "c"}) == Offers{"crop"}));
  BOOST_CHECK(offered({"generate", "--model", ""}).empty());  // bash completes files itself
}

BOOST_AUTO_TEST_CASE(a_shell_that_it_is_not_for_is_refused) {
  check_says(run_program({"completion", "fish"}), 2,
             {"completion: 'fish' is no shell that it is for; bash is"});
  check_says(run_program({"completion"}), 2, {"completion takes the name of one shell; bash works"});
}
