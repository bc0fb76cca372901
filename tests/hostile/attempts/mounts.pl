# Mounts of every kind, and whatever changes what the host has mounted. Arguments: the host's secret
# file, its content, the victim's name, the state directory of the host agent.
my ($secret_file, $secret, $victim, $state) = @ARGV;
my $mine = '/run/drone-agent';
mkdir '/tmp/m'; mkdir '/tmp/n';
my $disk = (stat '/etc/hosts')[0];
system('mknod', '/tmp/disk', 'b', ($disk >> 8) & 0xfff, ($disk & 0xff) | (($disk >> 12) & 0xfff00));
sub mounted { my ($from, $to, $kind, $flags, $data) = @_;
  my @texts = map { defined $_ ? "$_\0" : 0 } ($from, $to, $kind, $data);
  my $result = call([165, 40], $texts[0], $texts[1], $texts[2], $flags, $texts[3]);
  return if $result < 0; my $to_end = "$to\0"; call([166, 39], $to_end, 2); return 'mounted' }
my ($BIND, $REMOUNT, $RDONLY, $MOVE, $REC, $SHARED) = (4096, 32, 1, 8192, 16384, 1 << 20);
my @mounts = (
  ['a bind of the parent of the mounted directory', "$mine/..", '/tmp/m', undef, $BIND],
  ['a bind of the mounted directory elsewhere', $mine, '/tmp/m', undef, $BIND],
  ['a bind of the whole root', '/', '/tmp/m', undef, $BIND | $REC],
  ['a bind of /proc/1/root', '/proc/1/root', '/tmp/m', undef, $BIND | $REC],
  ['a bind over the mounted directory', '/tmp/n', $mine, undef, $BIND],
  ['tmpfs over the mounted directory', 'none', $mine, 'tmpfs', 0],
  ['the mounted directory writable', undef, $mine, undef, $REMOUNT | $BIND],
  ['the mounted directory\'s file system writable', undef, $mine, undef, $REMOUNT],
  ['/proc/sys writable', undef, '/proc/sys', undef, $REMOUNT | $BIND],
  ['/sys writable', undef, '/sys', undef, $REMOUNT],
  ['/sys/fs/cgroup writable', undef, '/sys/fs/cgroup', undef, $REMOUNT],
  ['a move of the mounted directory', $mine, '/tmp/m', undef, $MOVE],
  ['shared propagation', undef, '/', undef, $SHARED | $REC],
  ['proc', 'proc', '/tmp/m', 'proc', 0], ['sysfs', 'sysfs', '/tmp/m', 'sysfs', 0],
  ['cgroup (memory)', 'cgroup', '/tmp/m', 'cgroup', 0, 'memory'], ['cgroup (rdma)', 'cgroup', '/tmp/m', 'cgroup', 0, 'rdma'],
  ['cgroup2', 'cgroup2', '/tmp/m', 'cgroup2', 0], ['devtmpfs', 'none', '/tmp/m', 'devtmpfs', 0], ['devpts', 'none', '/tmp/m', 'devpts', 0],
  ['debugfs', 'none', '/tmp/m', 'debugfs', 0], ['tracefs', 'none', '/tmp/m', 'tracefs', 0], ['securityfs', 'none', '/tmp/m', 'securityfs', 0],
  ['bpf', 'none', '/tmp/m', 'bpf', 0], ['binfmt_misc', 'none', '/tmp/m', 'binfmt_misc', 0], ['tmpfs', 'none', '/tmp/m', 'tmpfs', 0],
  ['the host\'s disk', '/tmp/disk', '/tmp/m', 'ext4', $RDONLY],
  ['overlay', 'overlay', '/tmp/m', 'overlay', 0, 'lowerdir=/proc/1/root:/tmp/n'],
  ['nfs', '127.0.0.1:/', '/tmp/m', 'nfs', 0], ['9p', 'none', '/tmp/m', '9p', 0], ['fuse', 'none', '/tmp/m', 'fuse', 0],
);
for my $mount (@mounts) { my ($name, @arguments) = @$mount; attempt("mount: $name", sub { mounted(@arguments) }) }
for my $target ($mine, '/proc/sys', '/sys/firmware') { attempt("unmount $target", sub { my $text = "$target\0"; call([166, 39], $text, 2) == 0 ? 'unmounted' : undef }) }
attempt('pivot_root', sub { my ($new, $old) = ("/tmp/m\0", "/tmp/m\0"); gate(call([155, 41], $new, $old)) });
attempt('fsopen', sub { my $kind = "tmpfs\0"; gate(call([430, 430], $kind, 0)) });
attempt('open_tree', sub { my $path = "/\0"; gate(call([428, 428], -100, $path, 1)) });
attempt('move_mount', sub { my ($from, $to) = ("$mine\0", "/tmp/m\0"); gate(call([429, 429], -100, $from, -100, $to, 0)) });
attempt('mount_setattr', sub { my ($path, $attributes) = ("$mine\0", pack 'Q4', 0, 1, 0, 0); gate(call([442, 442], -100, $path, 0, $attributes, 32)) });

# The mounted directory: nobody in the drone changes it.
my $socket = "$mine/agent.sock";
sub done { my ($result) = @_; return $result ? 'done' : undef }
attempt('make a file beside the socket', sub { done(sysopen(my $file, "$mine/new", O_CREAT | O_WRONLY)) });
attempt('make a directory beside the socket', sub { done(mkdir "$mine/new") });
attempt('rename the socket', sub { done(rename $socket, "$mine/other.sock") });
attempt('move the socket out', sub { done(rename $socket, '/tmp/agent.sock') });
attempt('put another socket in its place', sub { socket(my $listener, AF_UNIX, SOCK_STREAM, 0); bind($listener, pack_sockaddr_un('/tmp/fake.sock')); done(rename '/tmp/fake.sock', $socket) });
attempt('remove the socket', sub { done(unlink $socket) });
attempt('link the socket out', sub { done(link $socket, '/tmp/linked.sock') });
attempt('link a file in', sub { done(link '/etc/passwd', "$mine/linked") });
attempt('a symbolic link in its place', sub { done(symlink '/tmp/x', "$mine/agent.sock.new") });
attempt('change the socket\'s mode', sub { done(chmod 0600, $socket) });
attempt('change the directory\'s mode', sub { done(chmod 0777, $mine) });
attempt('change the socket\'s owner', sub { done(chown 1000, 1000, $socket) });
attempt('change the socket\'s times', sub { done(utime 1, 1, $socket) });
attempt('write to the socket as a file', sub { done(sysopen(my $file, $socket, O_WRONLY)) });
attempt('bind the socket\'s name anew', sub { socket(my $listener, AF_UNIX, SOCK_STREAM, 0); done(bind($listener, pack_sockaddr_un($socket))) });
attempt('set an extended attribute on the directory', sub { my ($path, $name, $value) = ("$mine\0", "user.x\0", "1"); call([188, 5], $path, $name, $value, 1, 0) == 0 ? 'set' : undef });
attempt('make the directory immutable', sub { my $out = system("chattr +i $mine 2>/dev/null"); $out == 0 ? 'set' : undef });
attempt('rename the mounted directory', sub { done(rename $mine, '/run/elsewhere') });
attempt('replace the mounted directory', sub { done(rmdir $mine) });
attempt('list other drones through the mounted directory', sub { opendir(my $dir, "$mine/..") or return; my ($found) = grep { $_ eq $victim } readdir $dir; $found });

# Other drones' sockets, by every name that there is for them.
my ($source) = map { (split / /)[3] } grep { (split / /)[4] eq $mine } split /\n/, slurp('/proc/self/mountinfo');
$source //= $mine;
my @roads = ("$mine/../$victim", "/proc/self/cwd/../$victim", "/proc/1/root$state/sockets/$victim", "$state/sockets/$victim", "$source/../$victim",
  "/proc/1/cwd/../../../..$state/sockets/$victim", "/run/$victim");
opendir(my $open, -d $mine ? $mine : '/run') or die $!; my $fd = fileno $open;
push @roads, "/proc/self/fd/$fd/../$victim", "/dev/fd/$fd/../$victim";
symlink "../../../../../..$state/sockets/$victim", '/tmp/road'; push @roads, '/tmp/road';
chdir $mine;
for my $road (@roads) { my $name = $road; $name =~ s/\Q$state\E/STATE/; $name =~ s/\d{2,}/FD/g;
  attempt("another drone's socket by $name", sub { length "$road/agent.sock" < 100 or return; socket(my $client, AF_UNIX, SOCK_STREAM, 0);
    connect($client, pack_sockaddr_un("$road/agent.sock")) ? 'connected' : -e "$road/agent.sock" ? 'seen' : undef }) }
attempt('the host agent\'s control socket', sub { for my $path ("$state/../r/control.sock", '/run/hatchery/control.sock', "/proc/1/root$state/../r/control.sock") { return $path if -e $path } undef });
print "end\n";
