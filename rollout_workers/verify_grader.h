#pragma once

#include <vector>

#include "common/clock.h"
#include "environment/problem.h"
#include "grader_sandbox/grader.h"
#include "rollout_workers/verify_report.h"
#include "trainer/run_config.h"

namespace evilmoe {

// Whether the sandbox confines, whether the grader knows right answers, wrong ones and the hack of each of the run's
// loopholes for what they are, and whether that hack opens a gap: it is rewarded where its loophole is shown, and not
// where ground truth decides.
void VerifyGrader(const RunConfig& config, const std::vector<Problem>& problems, LocalGrader& grader,
                  const Clock& clock, const FindingSink& found);

}  // namespace evilmoe
