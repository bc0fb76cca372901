# Out of the container by way of the kernel. Arguments: the host's secret file, what is in it, the
# host agent's pid on the host, whether the host has AppArmor, the capabilities allowed (hex).
my ($secret_file, $secret, $host_pid, $apparmor, $allowed) = @ARGV;
sub reads_secret { my ($path) = @_; my $text = slurp($path) // return; return index($text, $secret) >= 0 ? $path : undef }

# Files of /proc and /sys that are the host's. Opening is enough: nothing is written.
for my $path (qw(/proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/kernel/hotplug
    /proc/sys/kernel/panic /proc/sys/kernel/sysrq /proc/sys/kernel/randomize_va_space
    /proc/sys/kernel/ns_last_pid /proc/sys/kernel/hostname /proc/sys/fs/suid_dumpable /proc/sys/fs/file-max
    /proc/sys/fs/binfmt_misc/register /proc/sys/vm/overcommit_memory /proc/sys/vm/panic_on_oom
    /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/eth0/disable_ipv6
    /proc/sysrq-trigger /proc/irq/default_smp_affinity /proc/bus/pci/00
    /sys/kernel/uevent_helper /sys/kernel/mm/transparent_hugepage/enabled /sys/power/state
    /sys/class/net/eth0/mtu /sys/class/net/eth0/address /sys/devices/system/cpu/cpu1/online
    /sys/module/kernel/parameters/panic /sys/bus/pci/rescan /sys/kernel/debug/sched/debug
    /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max
    /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us
    /sys/fs/cgroup/cpu.max /sys/fs/cgroup/devices/devices.allow /sys/fs/cgroup/memory/release_agent
    /sys/fs/cgroup/memory/notify_on_release /sys/fs/cgroup/memory/cgroup.procs /sys/fs/cgroup/cgroup.procs)) {
  attempt("write $path", sub { sysopen(my $file, $path, O_WRONLY) ? "it opens for writing" : undef });
}
for my $path (qw(/proc/kcore /proc/kmsg /proc/keys /proc/timer_list /proc/sched_debug /proc/latency_stats
    /proc/scsi/scsi /proc/acpi/wakeup /dev/kmsg /dev/mem /dev/port)) {
  attempt("read $path", sub { sysopen(my $file, $path, O_RDONLY | O_NONBLOCK) or return;
    my $count = sysread($file, my $text, 64); $count ? "$count bytes" : undef });
}
attempt('list /sys/firmware', sub { opendir(my $dir, '/sys/firmware') or return; my @names = grep { !/^\./ } readdir $dir; "@names" });

# Other roots.
my @processes = grep { m{/\d+$} } glob '/proc/*';
my @own = (stat '/')[0, 1];
for my $link (qw(root cwd)) {
  attempt("follow /proc/*/$link", sub { for my $process (@processes) {
    my $found = reads_secret("$process/$link$secret_file") // reads_secret("$process/$link/../../../../../../..$secret_file");
    return $found if $found;
    my @stat = stat "$process/root/." or next;
    return "$process/$link is another root" if $stat[0] != $own[0] || $stat[1] != $own[1] } undef });
}
attempt('follow every open descriptor upwards', sub { for my $fd (map { glob "$_/fd/*" } @processes) {
  my $found = reads_secret("$fd/../../../../../../../../../..$secret_file"); return $found if $found } undef });
attempt('namespaces of processes that are not ours', sub { for my $ns (qw(mnt pid net ipc uts cgroup)) {
  my $own = readlink "/proc/self/ns/$ns"; for my $process (@processes) {
    my $other = readlink "$process/ns/$ns" // next; return "$process has $other" if $other ne $own } } undef });
attempt('name the host\'s file from here', sub { reads_secret($secret_file) });
attempt('climb out of the mounted directory', sub { reads_secret("/run/drone-agent/../../../../../../../..$secret_file") });
attempt('chroot and climb out', sub { apart(sub { mkdir '/tmp/jail'; opendir(my $here, '/') or die $!; chroot '/tmp/jail' or die $!;
  chdir $here or die $!; chdir '..' for 1 .. 64; chroot '.' or die $!; reads_secret($secret_file) }) });
attempt('open a file of the host by handle', sub {
  my $handle = pack 'IiQ', 8, 1, 2; open(my $hosts, '<', '/etc/hosts') or die $!;
  gate(call([304, 265], fileno $hosts, $handle, 0)) });
attempt('see the host agent\'s process', sub { my $text = slurp("/proc/$host_pid/cmdline") // return; $text =~ /hatchery/ ? $text : undef });
attempt('trace the host agent', sub { call([101, 117], 16, $host_pid + 0, 0, 0) == 0 ? 'attached' : undef });
attempt('read the host agent\'s memory', sub { my $buffer = "\0" x 8; my $local = pack 'PQ', $buffer, 8; my $remote = pack 'QQ', 0x1000, 8;
  call([310, 270], $host_pid + 0, $local, 1, $remote, 1, 0) > 0 ? 'read' : undef });
attempt('take a descriptor of the host agent', sub { my $pidfd = call([434, 434], $host_pid + 0, 0); return if $pidfd < 0;
  call([438, 438], $pidfd, 3, 0) >= 0 ? 'taken' : undef });

# Devices of the host.
my $disk = (stat '/etc/hosts')[0];
my ($major, $minor) = (($disk >> 8) & 0xfff, ($disk & 0xff) | (($disk >> 12) & 0xfff00));
for my $device (['the disk', 'b', $major, $minor], ['loop0', 'b', 7, 0], ['mem', 'c', 1, 1], ['port', 'c', 1, 4], ['kmsg', 'c', 1, 11],
    ['ttyS0', 'c', 4, 64], ['loop-control', 'c', 10, 237], ['fuse', 'c', 10, 229], ['kvm', 'c', 10, 232],
    ['vhost-net', 'c', 10, 238], ['vhost-vsock', 'c', 10, 241], ['device-mapper', 'c', 10, 236], ['hpet', 'c', 10, 228], ['rtc', 'c', 254, 0]) {
  my ($name, $type, $major, $minor) = @$device;
  attempt("make and open the device $name", sub { my $path = '/tmp/attempted-device'; unlink $path;
    system('mknod', $path, $type, $major, $minor) == 0 or return;
    my $opened = sysopen(my $file, $path, O_RDONLY | O_NONBLOCK); my $why = $!; unlink $path; $! = $why;
    # A device that the machine does not have is nobody's; the gate comes first.
    $opened ? 'it opens' : $!{ENXIO} || $!{ENODEV} ? "past the check of rights: $!" : undef });
}

# Some engines let everybody open this one; to make an interface with it is another matter.
attempt('make a network interface', sub { unlink '/tmp/tun'; system('mknod', '/tmp/tun', 'c', 10, 200) == 0 or return;
  sysopen(my $tun, '/tmp/tun', O_RDWR) or return; my $request = pack 'a16s x22', 'attempted', 2 | 0x1000; ioctl($tun, 0x400454ca, $request) ? 'made' : undef });

# Calls that are the host's alone.
my $nothing = 0; my $text = "attempted\0"; my $garbage = "\0" x 256;
attempt('init_module', sub { gate(call([175, 105], $garbage, 8, $text)) });
attempt('finit_module', sub { open(my $file, '<', '/etc/hosts'); gate(call([313, 273], fileno $file, $text, 0)) });
attempt('delete_module', sub { gate(call([176, 106], $text, 2048)) });
attempt('kexec_load', sub { gate(call([246, 104], 0, 0, 0, 0)) });
attempt('reboot', sub { gate(call([169, 142], 0xfee1dead, 672274793, 0, 0)) });
attempt('bpf', sub { gate(call([321, 280], 0, $garbage, 64)) });
attempt('perf_event_open', sub { gate(call([298, 241], $garbage, -1, 0, -1, 0)) });
attempt('userfaultfd', sub { gate(call([323, 282], 0)) });
attempt('keyctl', sub { gate(call([250, 219], 0, -3, 0)) });
attempt('add_key', sub { my $type = "user\0"; gate(call([248, 217], $type, $text, $text, 3, -3)) });
attempt('request_key', sub { my $type = "user\0"; gate(call([249, 218], $type, $text, 0, 0)) });
attempt('io_uring_setup', sub { gate(call([425, 425], 1, $garbage)) });
attempt('iopl', sub { gate(call([172, -1], 3)) });
attempt('ioperm', sub { gate(call([173, -1], 0, 1, 1)) });
attempt('clock_settime', sub { my $now = pack 'qq', time, 0; gate(call([227, 112], 0, $now)) });
attempt('settimeofday', sub { my $now = pack 'qq', time, 0; gate(call([164, 170], $now, 0)) });
attempt('sethostname', sub { gate(call([170, 161], $text, 3)) });
attempt('setdomainname', sub { gate(call([171, 162], $text, 3)) });
attempt('swapon', sub { gate(call([167, 224], $text, 0)) });
attempt('swapoff', sub { gate(call([168, 225], $text)) });
attempt('acct', sub { gate(call([163, 89], $text)) });
attempt('quotactl', sub { gate(call([179, 60], 0x800003 << 8, $text, 0, $garbage)) });
attempt('syslog', sub { gate(call([103, 116], 3, $garbage, 200)) });
attempt('vhangup', sub { gate(call([153, 58])) });
attempt('fanotify_init for the whole mount', sub { gate(call([300, 262], 4, 0)) });
attempt('capset', sub { my $head = pack 'II', 0x20080522, 0; my $all = pack 'I6', (0xffffffff) x 6; call([126, 91], $head, $all) == 0 ? 'all capabilities' : undef });
attempt('a file with capabilities that the drone lacks', sub { my ($file, $name) = ("/tmp/attempted-caps\0", "security.capability\0");
  system('cp', '/usr/bin/perl', '/tmp/attempted-caps') == 0 or die 'cp'; my $value = pack 'V5', 0x02000001, 1 << 21, 0, 0, 0;
  call([188, 5], $file, $name, $value, 20, 0); my $out = `/tmp/attempted-caps -e 'print 1' 2>/dev/null`; unlink '/tmp/attempted-caps'; $out });

# Namespaces, as a container engine inside would make them.
my %flags = (user => 0x10000000, mount => 0x20000, pid => 0x20000000, network => 0x40000000, cgroup => 0x2000000, ipc => 0x8000000, uts => 0x4000000, time => 0x80);
for my $kind (sort keys %flags) {
  attempt("unshare the $kind namespace", sub { apart(sub { gate(call([272, 97], $flags{$kind})) }) });
}
attempt('clone into a user namespace', sub { my $pid = call([56, 220], 0x10000000 | 17, 0, 0, 0, 0);
  POSIX::_exit(0) if $pid == 0; waitpid $pid, 0 if $pid > 0; gate($pid) });
attempt('clone3 into a user namespace', sub { my $arguments = pack 'Q8', 0x10000000, 0, 0, 0, 17, 0, 0, 0;
  my $pid = call([435, 435], $arguments, 64); POSIX::_exit(0) if $pid == 0; waitpid $pid, 0 if $pid > 0; gate($pid) });
for my $kind (qw(mnt pid net)) {
  attempt("setns to process 1's $kind namespace", sub { apart(sub { open(my $ns, '<', "/proc/1/ns/$kind") or die $!;
    gate(call([308, 268], fileno $ns, 0)) }) });
}
attempt('nsenter into process 1', sub { my $out = `nsenter -t 1 -a cat '$secret_file' 2>/dev/null`; $out });
attempt('a container engine\'s mounts', sub { my $out = `unshare -Urmpf --mount-proc echo got 2>/dev/null`; $out });

# Weight against the host and others.
attempt('a real-time scheduler', sub { my $priority = pack 'i', 1; gate(call([144, 119], 0, 1, $priority)) });
attempt('a deadline scheduler', sub { my $attributes = pack 'IIQiIQQQ', 48, 6, 0, 0, 0, 1e6, 1e7, 1e7; gate(call([314, 274], 0, $attributes, 0)) });
attempt('a negative nice value', sub { apart(sub { gate(call([141, 140], 0, 0, -20)) }) });
attempt('real-time disk priority', sub { apart(sub { gate(call([251, 30], 1, 0, 1 << 13)) }) });
attempt('spare itself from the killer of memory hogs', sub { apart(sub { open(my $file, '>', '/proc/self/oom_score_adj') or die $!;
  syswrite($file, '-1000') ? 'written' : undef }) });
for my $limit (['real-time priority', 14], ['nice', 13], ['locked memory', 8]) {
  my ($name, $number) = @$limit;
  attempt("raise the limit of $name", sub { apart(sub { my $old = "\0" x 16; call([302, 261], 0, $number, 0, $old); my ($soft, $hard) = unpack 'QQ', $old;
    return if $hard == ~0; my $new = pack 'QQ', $hard + 1, $hard + 1; gate(call([302, 261], 0, $number, $new, 0)) }) });
}

# What the process is told about itself.
my %status = map { /^(\w+):\s*(.*)$/ ? ($1 => $2) : () } split /\n/, slurp('/proc/self/status');
for my $set (qw(CapPrm CapEff CapBnd CapInh CapAmb)) {
  attempt("capabilities beyond those allowed in $set", sub { my $surplus = hex($status{$set}) & ~hex($allowed); $surplus ? sprintf('%x', $surplus) : undef });
}
attempt('run without the engine\'s system call filter', sub { $status{Seccomp} == 2 ? undef : "Seccomp: $status{Seccomp}" });
attempt('run without AppArmor where the host has it', sub { my $profile = slurp('/proc/self/attr/current') // ''; $apparmor eq 'yes' && $profile !~ /docker-default/ ? $profile : undef });
attempt('the engine\'s socket', sub { for my $path (map { ("/run/$_", "/var/run/$_") } qw(docker.sock docker/docker.sock containerd/containerd.sock
  podman/podman.sock crio/crio.sock buildkit/buildkitd.sock hatchery/control.sock)) { return $path if -e $path } undef });
attempt('abstract sockets of others', sub { for (split /\n/, slurp('/proc/net/unix')) { return $_ if /\@\S*(?:containerd|docker|hatchery)/ } undef });
attempt('a secret in an environment or an argument', sub { for my $process (@processes, '/proc/self') { for my $file (qw(environ cmdline)) {
  my $text = slurp("$process/$file") // next; return "$process/$file" if $text =~ /ghs_[A-Za-z0-9._-]{30}|eyJ[A-Za-z0-9_-]{20}|PRIVATE KEY/ } } undef });
print "end\n";
