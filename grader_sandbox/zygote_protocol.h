#pragma once

namespace evilmoe {

// Arguments of evilmoe-zygote: IMPORTS TIER UID, as Isolation has the latter two. IMPORTS is what is there beside the
// standard library; numpy makes every run dearer by a quarter, so a zygote of its own has it.
inline constexpr char kZygoteLean[] = "lean";
inline constexpr char kZygoteNumpy[] = "numpy";
inline constexpr char kZygoteCtypes[] = "ctypes";  // for tests of the other layers: any system call can be made
inline constexpr char kZygoteProbe[] = "probe";    // no interpreter: says whether TIER can be had, then ends

// Messages on a zygote's socket (its descriptor 3), one text line each:
//   zygote: "ready", once, or "refused WHY": this machine does not offer the tier
//   grader: "hold", a newline and setup code: runs with it may begin where it ends. No answer
//   grader: "fork", or "fork scratch" for a run that may write files, with three descriptors: request (read), results
//           (write), output (write); in tier C a fourth for scratch: the folder
//   zygote: "child PID" with a pidfd, above tier C also the scratch folder; or "failed WHY"; later
//           "exit SIGNALED CODE CPU_US PEAK_RSS_BYTES SYSCALL", the forbidden call or -1
// One child at a time. The end of the socket ends the zygote and its child.
inline constexpr char kZygoteReady[] = "ready";
inline constexpr char kZygoteHold[] = "hold\n";
inline constexpr char kZygoteFork[] = "fork";
inline constexpr char kZygoteForkScratch[] = "fork scratch";

// Exit status of a child that could not be confined: it has run nothing and written nothing.
inline constexpr int kZygoteSetupFailed = 120;

}  // namespace evilmoe
