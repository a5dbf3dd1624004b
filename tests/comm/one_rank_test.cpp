#define BOOST_TEST_MODULE one_rank
#include <boost/test/unit_test.hpp>

#include <stepvideo/comm/one_rank.hpp>

#include "comm/communicator_cases.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

BOOST_AUTO_TEST_CASE(what_is_sent_arrives_and_what_is_in_place_stays) {
  OneRank<Host> alone;
  Findings findings;
  for (const Axis axis : every_axis) {
    const Group group = Mesh{}.group(axis, 0);
    find_wrong_sums<float>(alone, group, findings);
    find_wrong_sums<bf16>(alone, group, findings);
    find_lost_elements<float>(alone, group, findings);
    find_lost_elements<fp8_e4m3>(alone, group, findings);
  }
  for (const auto& what : findings.found()) BOOST_ERROR(what);
}

BOOST_AUTO_TEST_CASE(groups_of_others_are_refused) {
  OneRank<Host> alone;
  std::vector<float> values(3);
  BOOST_CHECK_THROW(alone.all_reduce(host, Group{1, 1, 2}, view_of(values)), RequestError);
  BOOST_CHECK_THROW(alone.shift(host, Group{0, 1, 2}, view_of(values), view_of(values)), RequestError);
}
