// Processors granted: the affinity mask, and the control groups' quota (Linux: cgroups(7), the
// kernel's cgroup-v1/cpuacct and cgroup-v2 documents, proc_pid_mountinfo(5)).
// SPDX-License-Identifier: Apache-2.0
#include "core/processors.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

namespace nigro {
namespace {

// A machine with a thousand mounts has 200 kB of them.
constexpr std::size_t kMaxBytes = 4 << 20;

// Whole, or "" if it is not there; files of /proc have no size to ask for.
std::string content_of(const std::string& path) {
    struct Close {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };
    const std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "rb"));
    std::string content;
    char buffer[4096];
    while (file && content.size() < kMaxBytes) {
        const std::size_t n = std::fread(buffer, 1, sizeof buffer, file.get());
        if (n == 0) break;
        content.append(buffer, n);
    }
    return content;
}

std::vector<std::string_view> split(std::string_view text, char at) {
    std::vector<std::string_view> parts;
    for (std::size_t end; (end = text.find(at)) != text.npos; text.remove_prefix(end + 1))
        parts.push_back(text.substr(0, end));
    if (!text.empty()) parts.push_back(text);
    return parts;
}

bool lists(std::string_view names, std::string_view name) {
    for (const std::string_view each : split(names, ','))
        if (each == name) return true;
    return false;
}

// A space in a path of mountinfo is written \040, and so for tab, newline and backslash.
std::string unescaped(std::string_view path) {
    std::string plain;
    for (std::size_t i = 0; i < path.size(); ++i) {
        const bool escaped = path[i] == '\\' && i + 3 < path.size();
        plain += escaped ? static_cast<char>((path[i + 1] - '0') * 64 + (path[i + 2] - '0') * 8 +
                                             (path[i + 3] - '0'))
                         : path[i];
        if (escaped) i += 3;
    }
    return plain;
}

// A hierarchy of groups: where it is mounted, which of its groups that shows, and our own group.
struct Hierarchy {
    bool is_v2;
    std::string mount, root, group;
};

// The hierarchies that may limit processors. /proc/self/cgroup has lines "4:cpu,cpuacct:/group"
// (version 1) and "0::/group" (version 2); mountinfo lines "id parent dev ROOT MOUNT options ...
// - TYPE source SUPEROPTIONS".
std::vector<Hierarchy> hierarchies(const std::string& root) {
    const std::string groups = content_of(root + "/proc/self/cgroup");
    const std::string mounts = content_of(root + "/proc/self/mountinfo");
    std::vector<Hierarchy> found;
    for (const std::string_view line : split(groups, '\n')) {
        const std::size_t first = line.find(':'), second = line.find(':', first + 1);
        if (first == line.npos || second == line.npos) continue;
        const std::string_view controllers = line.substr(first + 1, second - first - 1);
        const bool is_v2 = controllers.empty();
        if (!is_v2 && !lists(controllers, "cpu")) continue;
        for (const std::string_view mount : split(mounts, '\n')) {
            const std::size_t dash = mount.find(" - ");
            if (dash == mount.npos) continue;
            const auto where = split(mount.substr(0, dash), ' ');
            const auto what = split(mount.substr(dash + 3), ' ');
            if (where.size() < 5 || what.size() < 3) continue;
            if (is_v2 ? what[0] == "cgroup2" : what[0] == "cgroup" && lists(what[2], "cpu"))
                found.push_back({is_v2, unescaped(where[4]), unescaped(where[3]),
                                 std::string(line.substr(second + 1))});
        }
    }
    return found;
}

// quota / period of one group, in processors; 0 if it has none.
double quota_of(const std::string& folder, bool is_v2) {
    long long quota = 0, period = 0;
    if (is_v2) {  // "max 100000" or "150000 100000"
        const std::string text = content_of(folder + "/cpu.max");
        if (std::sscanf(text.c_str(), "%lld %lld", &quota, &period) != 2) return 0;
    } else {  // -1 for none
        const std::string text = content_of(folder + "/cpu.cfs_quota_us") + " " +
                                 content_of(folder + "/cpu.cfs_period_us");
        if (std::sscanf(text.c_str(), "%lld %lld", &quota, &period) != 2) return 0;
    }
    return quota > 0 && period > 0 ? static_cast<double>(quota) / static_cast<double>(period) : 0;
}

// The least quota from our own group up to the one that is mounted.
double least_quota(const std::string& root, const Hierarchy& hierarchy) {
    std::string below = hierarchy.group;  // as seen from the mount
    if (hierarchy.root != "/" && below.compare(0, hierarchy.root.size(), hierarchy.root) == 0)
        below.erase(0, hierarchy.root.size());
    double least = 0;
    while (true) {
        while (!below.empty() && below.back() == '/') below.pop_back();
        const double quota = quota_of(root + hierarchy.mount + below, hierarchy.is_v2);
        if (quota > 0 && (least == 0 || quota < least)) least = quota;
        if (below.empty()) return least;
        const std::size_t slash = below.rfind('/');
        below.erase(slash == below.npos ? 0 : slash);
    }
}

std::size_t processors_in_mask() {
#if defined(__linux__)
    // The kernel refuses a mask that is shorter than its own.
    for (std::size_t n_bits = 1024; n_bits <= 1 << 20; n_bits *= 2) {
        std::vector<cpu_set_t> mask(n_bits / CPU_SETSIZE);
        if (sched_getaffinity(0, mask.size() * sizeof(cpu_set_t), mask.data()) == 0)
            return static_cast<std::size_t>(
                CPU_COUNT_S(mask.size() * sizeof(cpu_set_t), mask.data()));
    }
#endif
    return std::thread::hardware_concurrency();  // 0 if unknown
}

}  // namespace

std::size_t processor_quota(const std::string& root) {
    double least = 0;
    for (const Hierarchy& hierarchy : hierarchies(root)) {
        const double quota = least_quota(root, hierarchy);
        if (quota > 0 && (least == 0 || quota < least)) least = quota;
    }
    return static_cast<std::size_t>(std::ceil(least));
}

std::size_t usable_processors() {
    const std::size_t all = std::max<std::size_t>(processors_in_mask(), 1);
    const std::size_t quota = processor_quota("");
    return quota == 0 ? all : std::min(all, quota);
}

}  // namespace nigro
