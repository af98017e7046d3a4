# Processes, pipes, signals and files as perl scripts use them.
use strict;
use warnings;
use Fcntl qw(:flock SEEK_SET);
use File::Temp qw(tempdir);
use POSIX qw(:sys_wait_h strftime);
use Socket;

$| = 1;
print strftime("%Y-%m-%d", gmtime(86400)), "\n";
my $child = fork;
exit 3 unless $child;
waitpid $child, 0;
print "status ", $? >> 8, "\n";

pipe my $reader, my $writer;
if (!fork) { close $reader; print $writer "line $_\n" for 1 .. 3; exit 0 }
close $writer;
print "read $_" while <$reader>;
wait;

my $alarms = 0;
local $SIG{ALRM} = sub { $alarms++ };
alarm 1;
select undef, undef, undef, 3;
print "alarms $alarms\n";

socketpair my $left, my $right, AF_UNIX, SOCK_STREAM, PF_UNSPEC;
syswrite $left, "over a socket";
sysread $right, my $data, 100;
print "$data\n";

open my $sort, "|-", "sort -r" or die;
print $sort "$_\n" for qw(b c a);
close $sort;
print "backticks: ", `echo one; exit 2`, "status ", $? >> 8, "\n";

my $directory = tempdir(CLEANUP => 1);
open my $file, "+>", "$directory/file" or die;
flock $file, LOCK_EX or die;
if (!fork) {
    open my $other, "<", "$directory/file" or die;
    print flock($other, LOCK_SH | LOCK_NB) ? "locked\n" : "would block\n";
    POSIX::_exit(0);
}
wait;
print $file "text\n" x 3;
seek $file, 0, SEEK_SET;
my @lines = <$file>;
print scalar(@lines), " lines, ", -s $file, " bytes\n";
rename "$directory/file", "$directory/renamed" or die;
symlink "renamed", "$directory/link" or die;
print join(",", sort map { s{.*/}{}r } glob "$directory/*"), " -> ", readlink "$directory/link", "\n";

my $victim = fork;
if (!$victim) { sleep 30; exit 0 }
kill "KILL", $victim;
waitpid $victim, 0;
print "killed by ", $? & 127, "; no more: ", waitpid(-1, WNOHANG), "\n";
