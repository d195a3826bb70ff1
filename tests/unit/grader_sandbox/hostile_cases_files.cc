#include <sys/syscall.h>

#include <csignal>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/unit/grader_sandbox/hostile_cases.h"

namespace evilmoe {
namespace {

using enum VerdictKind;

// Defines t(function, arguments...), which is 'did it' or the name of the errno, and r(...), which is 'no' when the
// reason is one of those that a closed door has.
std::string Program(const std::string& lines) {
  return "import errno, os\n"
         "def t(function, *arguments):\n"
         "    try:\n"
         "        function(*arguments)\n"
         "    except OSError as e:\n"
         "        return errno.errorcode[e.errno]\n"
         "    return 'did it'\n"
         "def r(*call):\n"
         "    result = t(*call)\n"
         "    return 'no' if result in ('EPERM', 'EACCES', 'EROFS', 'ENOENT', 'EXDEV') else result\n" +
         lines + "\n";
}

HostileCase FileCase(int line, const std::string& name, const std::string& lines, const std::string& printed,
                     const std::vector<std::string>& left_over = {}) {
  return {line, name, Program(lines), {{kPass}}, {.files = true, .printed = printed, .left_over = left_over}};
}

// A limit of the folder is reached: namespaces have a small file system for it, tier C looks from outside.
HostileCase FullCase(const std::string& name, const std::string& lines, const std::string& printed, const Ending& in_c,
                     const std::vector<std::string>& left_over = {}) {
  HostileCase row = FileCase(78, name, lines, printed, left_over);
  row.how.cpu = absl::Seconds(2);
  row.how.in_tier = {{Tier::kC, in_c}};
  return row;
}

std::vector<HostileCase> Doors() {
  return {
      FileCase(1, "FilesWork", R"(
with open('a.txt', 'w') as f: f.write('one')
with open('a.txt', 'a') as f: f.write(' two')
os.rename('a.txt', 'b.txt')
open('c.txt', 'w').close()
os.unlink('c.txt')
print(open('b.txt').read(), os.listdir('.')))",
               "one two ['b.txt']\n", {"b.txt"}),
      FileCase(74, "WritesElsewhere", R"(
print(r(open, '/tmp/evilmoe_escape', 'w'), r(open, '/evilmoe_escape', 'w'), r(open, '/dev/shm/evilmoe_escape', 'w'),
      r(open, '/dev/null', 'w'), r(os.truncate, '/etc/passwd', 0), r(os.unlink, '/etc/hostname')))",
               "no no no no no no\n"),
      FileCase(73, "ReadsElsewhere", R"(
print(r(open, '/etc/passwd'), r(open, '/proc/self/environ'), r(open, '/proc/self/mem', 'rb'),
      r(os.readlink, '/proc/self/exe'), r(open, os.__file__), r(os.listdir, '/etc'), r(os.listdir, '/tmp')))",
               "no no no no no no no\n"),
      FileCase(77, "LinksAndDevices", R"(
open('a', 'w').close()
print(t(os.symlink, '/', 'b'), t(os.link, 'a', 'b'), t(os.mkfifo, 'b'), t(os.mknod, 'b', 0o60666, 2049),
      t(os.mkdir, 'b'), t(os.chmod, 'a', 0o4755), t(os.chown, 'a', 0, 0), t(os.chdir, '..'),
      t(os.setxattr, 'a', 'user.b', b'')))",
               "EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM\n", {"a"}),
      FileCase(77, "UpwardsFromTheFolder", R"(
open('a', 'w').close()
here = os.open('.', os.O_PATH)
print(r(open, '../evilmoe_escape', 'w'), r(os.rename, 'a', '../evilmoe_escape'), r(os.listdir, '..'),
      r(open, '../../etc/passwd'), r(lambda: os.open('../evilmoe_escape', os.O_CREAT | os.O_WRONLY, dir_fd=here)),
      r(os.unlink, '../../etc/hostname')))",
               "no no no no no no\n", {"a"}),
      FileCase(77, "OddNames", R"(
open('-rf *\n\\', 'w').close()
open('\udcff', 'w').close()
print(len(os.listdir('.')), t(open, 'a' * 256, 'w'), t(os.rename, 'b', 'c'), t(os.rmdir, '.') != 'did it'))",
               "2 ENAMETOOLONG ENOENT True\n", {"-rf *\n\\", "\xff"}),
      FileCase(65, "ExecutesAFile", R"(
with open('a', 'w') as f: f.write('#!/bin/sh\n')
print(t(os.execv, './a', ['a']), t(os.posix_spawn, './a', ['a'], {})))",
               "EPERM EPERM\n", {"a"}),
      FileCase(100, "LeavesFiles", "for i in range(5): open(f'.marker{i}', 'w').close()\nprint('done')", "done\n",
               {".marker0", ".marker1", ".marker2", ".marker3", ".marker4"}),
  };
}

std::vector<HostileCase> Full() {
  const Ending full = {{kOutputLimit}, "files"};
  const Ending too_large = {{kCrash}, "", {}, SIGXFSZ};
  return {
      FullCase("LargeFile",
               "f = os.open('a', os.O_CREAT | os.O_WRONLY)\n"
               "def fill():\n  while True: os.write(f, bytes(65536))\nprint(t(fill) in ('ENOSPC', 'EFBIG'))",
               "True\n", {{kCrash, kOutputLimit}}, {"a"}),
      FullCase("SparseFile", "f = open('a', 'w')\nprint(t(f.truncate, 1 << 40))", "EFBIG\n", too_large, {"a"}),
      FullCase("SparseByWriting",
               "f = os.open('a', os.O_CREAT | os.O_WRONLY)\nos.lseek(f, 1 << 40, 0)\nprint(t(os.write, f, b'x'))",
               "EFBIG\n", too_large, {"a"}),
      FullCase("ManyBytes", R"(
def fill():
    while True:
        for i in range(50):
            with open(str(i), 'ab') as f: f.write(bytes(10000))
print(t(fill))
for name in os.listdir('.'): os.unlink(name))",
               "ENOSPC\n", full),
      FullCase("ManyFiles", R"(
def fill():
    for i in range(10**6): open(str(i), 'w').close()
result = t(fill)
print(result, 10 < len(os.listdir('.')) <= 64)
for name in os.listdir('.'): os.unlink(name))",
               "ENOSPC True\n", full),
      FullCase("ManyOpenFiles",
               "kept = []\ndef fill():\n  while True: kept.append(open('a', 'w'))\nprint(t(fill), len(kept) < 32)",
               "EMFILE True\n", {{kPass}}, {"a"}),
  };
}

std::vector<HostileCase> Native() {
  const std::string call =
      "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nlibc.syscall.restype = ctypes.c_long\nspace = "
      "ctypes.create_string_buffer(256)\n"
      "f = os.open('a', os.O_CREAT | os.O_RDWR)\n"
      "def call(number, *arguments):\n"
      "    wide = [ctypes.c_long(a) if type(a) is int else a for a in (number, *arguments)]\n"
      "    return 'did it' if libc.syscall(*wide) != -1 else errno.errorcode[ctypes.get_errno()]\n";
  HostileCase locks = FileCase(95, "LocksInTheFolder",
                               absl::StrCat(call, "print(call(", SYS_flock, ", f, 2), *[call(", SYS_fcntl,
                                            ", f, n, space) for n in (4, 6, 7, 8, 10, 37, 38, "
                                            "1024, 1026, 1031, 1033)])"),
                               "EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM\n", {"a"});
  HostileCase sockets =
      FileCase(80, "SocketsInTheFolder",
               absl::StrCat(call, "print(call(", SYS_socket, ", 1, 1, 0), call(", SYS_bind, ", f, space, 110), call(",
                            SYS_memfd_create, ", b'x', 0), call(", SYS_mmap, ", 0, 4096, 5, 2, f, 0))"),
               "EPERM EPERM EPERM EPERM\n", {"a"});
  HostileCase mount =
      FileCase(84, "MountsInTheFolder", absl::StrCat(call, "call(", SYS_mount, ", b'/', b'.', 0, 4096, 0)"), "");
  mount.want = {{kSandboxViolation}, "", {}, SIGSYS, "mount"};
  std::vector<HostileCase> cases = {locks, sockets, mount};
  for (HostileCase& row : cases) row.how.native = true;
  return cases;
}

}  // namespace

std::vector<HostileCase> FileCases() { return Joined({Doors(), Full(), Native()}); }

}  // namespace evilmoe
