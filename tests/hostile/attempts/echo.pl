# Answers on a port, TCP and UDP, all addresses of version 4 and 6.
use IO::Select;
my ($port) = @ARGV;
my $select = IO::Select->new;
sub bound { my ($family, $kind, $address) = @_; socket(my $socket, $family, $kind, 0) or return;
  setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1); bind($socket, $address) or return; return $socket }
for my $kind (SOCK_STREAM, SOCK_DGRAM) {
  my $socket = bound(AF_INET6, $kind, pack_sockaddr_in6($port, Socket::IN6ADDR_ANY)) || bound(AF_INET, $kind, pack_sockaddr_in($port, INADDR_ANY));
  defined $socket or die "bind: $!";
  if ($kind == SOCK_STREAM) { listen($socket, 16) or die "listen: $!" }
  $select->add($socket);
}
print "listening\n";
while (1) { for my $socket ($select->can_read) {
  my $kind = unpack 'i', getsockopt($socket, SOL_SOCKET, SO_TYPE);
  if ($kind == SOCK_STREAM) { accept(my $client, $socket) or next; syswrite $client, "reached\n"; close $client }
  else { my $from = recv($socket, my $text, 100, 0) // next; send($socket, "reached\n", 0, $from) } } }
