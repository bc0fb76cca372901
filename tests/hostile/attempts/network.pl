# To where no drone may connect. DATA: `name TAB tcp|udp TAB address TAB port` a line; a name with `control:`
# before it must be reached. Arguments: the victim's address, the gateway's.
use IO::Select; use Time::HiRes 'time';
my ($victim, $gateway) = @ARGV;
my (%open, %order, @names);
my $select = IO::Select->new;
for (<DATA>) { chomp; my ($name, $kind, $host, $port) = split /\t/ or next; push @names, $name;
  # A name is resolved by the engine, which knows the drones of a network.
  my (undef, @found) = eval { local $SIG{ALRM} = sub { die "no answer\n" }; alarm 3; Socket::getaddrinfo($host, $port, { socktype => $kind eq 'tcp' ? SOCK_STREAM : SOCK_DGRAM }) };
  alarm 0; my $address = $found[0] // next;
  socket(my $socket, $address->{family}, $address->{socktype}, 0) or next;
  setsockopt($socket, SOL_SOCKET, SO_BROADCAST, 1);
  fcntl($socket, F_SETFL, O_NONBLOCK);
  my $begun = connect($socket, $address->{addr}) || $!{EINPROGRESS};
  if ($begun && $kind eq 'udp') { $begun = send($socket, "attempted\n", 0) }
  if (!$begun) { $order{$name} = "$!"; next }
  $open{fileno $socket} = $name; $select->add($socket) }
my $end = time + 2.5; my %got;
# Only an answer counts: that a connection is open says nothing on what is at its other end.
while ((my $left = $end - time) > 0 && $select->count) { for my $socket ($select->can_read($left)) {
  my $count = sysread($socket, my $text, 100); $select->remove($socket);
  my $name = $open{fileno $socket};
  if ($count) { $got{$name} = 'an answer' } else { $order{$name} = $count // "$!" } } }
for my $name (@names) {
  if ($name =~ /^control:/) { die "$name is not reached: " . ($order{$name} // 'silence') . "\n" unless $got{$name}; next }
  attempt($name, sub { $! = 0; $got{$name} // do { die(($order{$name} // 'silence') . "\n") } }) }

# Sockets that read or write what belongs to neighbours, and settings of the interface.
my ($PACKET, $NETLINK, $VSOCK, $XDP, $KEY) = (17, 16, 40, 44, 15);
for my $kind (['frames', $PACKET, 3, 0x0300], ['datagrams of the link', $PACKET, 2, 0x0300], ['raw ICMP', AF_INET, 3, 1], ['raw TCP', AF_INET, 3, 6],
    ['raw packets', AF_INET, 3, 255], ['raw IPv6', AF_INET6, 3, 58], ['the hypervisor', $VSOCK, 1, 0], ['XDP', $XDP, 3, 0], ['key management', $KEY, 3, 2]) {
  my ($name, @arguments) = @$kind; attempt("a socket for $name", sub { socket(my $socket, $arguments[0], $arguments[1], $arguments[2]) ? 'it opens' : undef }) }
socket(my $socket, AF_INET, SOCK_DGRAM, 0) or die $!;
my $interface = sub { pack 'a16 a24', 'eth0', $_[0] };
for my $setting (['its address', 0x8916, pack_sockaddr_in(0, inet_aton($victim))], ['its link address', 0x8924, pack('S C6', 1, 2, 66, 1, 2, 3, 4)], ['that it hears everything', 0x8914, pack('s', 0x1143)],
    ['its queue', 0x8943, pack('i', 9)], ['its size of packets', 0x8922, pack('i', 9000)], ['a bridge on it', 0x89a0, '']) {
  my ($name, $request, $value) = @$setting; attempt("set $name", sub { my $text = $interface->($value); ioctl($socket, $request, $text) ? 'set' : undef }) }
attempt('an entry for the gateway in the table of neighbours', sub { my $text = pack_sockaddr_in(0, inet_aton($gateway)) . pack('S C6 x8', 1, 2, 66, 1, 2, 3, 4) . pack('i', 2) . ("\0" x 16) . pack('a16', 'eth0');
  ioctl($socket, 0x8955, $text) ? 'set' : undef });
attempt('a route', sub { my $text = pack 'x8 a16 a16 a16 S s x4 x8 x8 x8', pack_sockaddr_in(0, inet_aton($victim)), pack_sockaddr_in(0, inet_aton($gateway)), pack_sockaddr_in(0, inet_aton('255.255.255.255')), 7, 0;
  $text .= "\0" x 64; ioctl($socket, 0x890b, $text) ? 'set' : undef });
for my $option (['foreign addresses', 0, 19, 1], ['a mark of packets', SOL_SOCKET, 36, 1], ['priority over others', SOL_SOCKET, 12, 7], ['buffers without limit', SOL_SOCKET, 33, 1 << 26],
    ['a table of the firewall', 0, 64, 1]) {
  my ($name, $level, $number, $value) = @$option; attempt("set $name", sub { setsockopt($socket, $level, $number, pack 'i', $value) ? 'set' : undef }) }
attempt('send with the victim\'s address', sub { socket(my $free, AF_INET, SOCK_DGRAM, 0) or die $!; setsockopt($free, 0, 15, 1) or return;
  bind($free, pack_sockaddr_in(0, inet_aton($victim))) or return; send($free, 'x', 0, pack_sockaddr_in(9, inet_aton($gateway))) ? 'sent' : undef });
attempt('reach the victim by a route of its own choice', sub { socket(my $routed, AF_INET, SOCK_STREAM, 0) or die $!;
  setsockopt($routed, 0, 4, pack('C3', 131, 7, 4) . inet_aton($victim) . "\0") or return; fcntl($routed, F_SETFL, O_NONBLOCK);
  connect($routed, pack_sockaddr_in(8103, inet_aton($gateway))) || $!{EINPROGRESS} or return; IO::Select->new($routed)->can_read(1) or return; my $text; sysread($routed, $text, 10); $text });
for my $peer (['the victim', $victim], ['the host', $gateway]) {
  my ($name, $address) = @$peer; attempt("ping $name", sub { socket(my $echo, AF_INET, SOCK_DGRAM, 1) or return; my $request = pack 'C2 n3 a8', 8, 0, 0, 0, 1, 'attempts';
    send($echo, $request, 0, pack_sockaddr_in(0, inet_aton($address))) or return; IO::Select->new($echo)->can_read(1) or return; recv($echo, my $answer, 100, 0); ord $answer == 0 ? 'an answer' : undef }) }
print "end\n";
