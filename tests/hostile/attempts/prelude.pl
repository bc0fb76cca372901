# What every script begins with. An attempt is a name and code that returns what it got, or nothing.
use strict; use warnings; use Errno; use Fcntl; use Socket; use POSIX ();
$| = 1;
my $arm = (POSIX::uname())[4] eq 'aarch64';
# System calls: number on x86_64, on aarch64. -1: there is none.
# Arguments stay where they are: the kernel writes into some.
sub call { my $numbers = shift; my $nr = $numbers->[$arm ? 1 : 0];
  if ($nr < 0) { $! = Errno::ENOSYS(); return -1 }
  return syscall($nr, @_) }
sub attempt { my ($name, $code) = @_;
  my $got = eval { $code->() };
  my $why = $@ || "$!"; s/[\t\n]/ /g for $why;
  if (defined $got && $got ne '') { $got =~ s/[\t\n]/ /g; print "$name\tgranted\t$got\n" }
  else { print "$name\trefused\t$why\n" } }
# Past the gate: the kernel went on to look at the arguments.
sub gate { my ($result) = @_;
  return "it returned $result" if $result >= 0;
  return if $!{EPERM} || $!{EACCES} || $!{ENOSYS} || $!{EAFNOSUPPORT};
  return "past the check of rights: $!" }
# In a process of its own, for what cannot be taken back.
sub apart { my ($code) = @_; pipe(my $in, my $out) or die $!;
  my $pid = fork // die "fork: $!";
  if (!$pid) { close $in; my $got = eval { $code->() }; print {$out} $got // ''; close $out; POSIX::_exit(0) }
  close $out; local $/; my $got = <$in>; waitpid $pid, 0; return $got }
sub slurp { my ($path) = @_; open(my $file, '<', $path) or return; local $/; my $text = <$file>; return $text }
