# Floods the drone's socket in the ways that the arguments name, until /tmp/stop is there. Prints a line once it is at it, and at its end how much it was.
my $path = '/run/drone-agent/agent.sock';
$SIG{PIPE} = 'IGNORE'; unlink '/tmp/stop';
sub opened { socket(my $client, AF_UNIX, SOCK_STREAM, 0) or return; fcntl($client, F_SETFL, O_NONBLOCK); connect($client, pack_sockaddr_un($path)) or return; return $client }
sub going { return !-e '/tmp/stop' }
my %kinds = (
  # Heads that never end, a byte at a time.
  loris => sub { my ($count, @held) = (0); while (going()) {
    while (@held < 64) { my $client = opened() or last; syswrite $client, "GET /v1/token HTTP/1.1\r\nX: "; push @held, $client; $count++ }
    @held = grep { defined syswrite $_, 'x' } @held; select undef, undef, undef, 0.02 } $count },
  # Connections that say nothing.
  connections => sub { my ($count, @held) = (0); while (going()) { my $client = opened(); if ($client) { push @held, $client; $count++ } shift @held if @held > 200; select undef, undef, undef, 0.001 if !$client } $count },
  # Requests without a pause, answers not looked at.
  requests => sub { my $count = 0; my $many = "GET /v1/token HTTP/1.1\r\nHost: x\r\n\r\n" x 50; while (going()) { socket(my $client, AF_UNIX, SOCK_STREAM, 0); connect($client, pack_sockaddr_un($path)) or next;
    for (1 .. 20) { syswrite $client, $many or last; sysread $client, my $answer, 65536 or last; $count += 50 } } $count },
  # Heads as large as can be, and requests for what was not granted.
  refusals => sub { my $count = 0; while (going()) { my $client = opened() or next; syswrite $client, 'GET /v1/token?repo=other/' . ('x' x 80) . " HTTP/1.1\r\nX: " . ('y' x 7000) . "\r\n\r\n"; $count++; fcntl($client, F_SETFL, 0); sysread $client, my $answer, 4096 } $count });
my %started;
for my $kind (@ARGV) { pipe(my $in, my $out); my $pid = fork // die "fork: $!";
  if (!$pid) { close $in; my $count = $kinds{$kind}->(); print {$out} $count; close $out; POSIX::_exit(0) } close $out; $started{$kind} = $in }
print "flooding\n";
for my $kind (@ARGV) { my $in = $started{$kind}; my $count = <$in>; print "$kind\t", $count // 0, "\n" }
print "end\n";
