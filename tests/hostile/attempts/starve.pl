# As much as there is, of everything that is limited. Arguments: the limits of processes and of memory in MiB.
my ($pids, $memory) = @ARGV;
attempt('more processes than it may have', sub { my @children; $SIG{CHLD} = 'DEFAULT';
  while (@children <= $pids) { my $pid = fork; last if !defined $pid; if (!$pid) { sleep 60; POSIX::_exit(0) } push @children, $pid }
  my $count = @children; kill 'KILL', @children; waitpid $_, 0 for @children; $count > $pids ? "$count processes" : undef });
attempt('more memory than it may have', sub { my $got = ''; pipe(my $in, my $out); my $pid = fork // die "fork: $!";
  if (!$pid) { close $in; my @held; for my $mebibytes (1 .. 2 * $memory) { push @held, 'x' x (1 << 20); syswrite $out, pack('N', $mebibytes) } POSIX::_exit(0) }
  close $out; my $most = 0; while (sysread($in, my $text, 4)) { $most = unpack 'N', $text } waitpid $pid, 0; $most > $memory ? "$most MiB" : undef });
attempt('more memory than it may have, in shared memory', sub { my $most = 0; my $piece = 'x' x (1 << 20); my $file;
  open($file, '>', '/dev/shm/hog') or die $!; $most++ while $most < 2 * $memory && (syswrite($file, $piece) // 0) == length $piece; close $file; unlink '/dev/shm/hog'; $most > $memory ? "$most MiB" : undef });
attempt('more memory than it may have, in pipes', sub { my ($most, @held) = (0); my $piece = 'x' x 65536;
  while ($most < 16 * $memory) { pipe(my $in, my $out) or last; fcntl($out, F_SETFL, O_NONBLOCK); my $wrote = syswrite($out, $piece) // last; push @held, $in, $out; $most++ } $most * 64 > $memory * 1024 ? "$most pipes" : undef });
print "end\n";
