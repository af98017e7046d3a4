# Perl: hashes, regular expressions, files, pipes, fork and wait.
use strict;
use warnings;
use File::Temp qw(tempdir);
use POSIX qw(:sys_wait_h);

my %count;
$count{$_}++ for split //, "mississippi";
print join(" ", map { "$_=$count{$_}" } sort keys %count), "\n";

my $directory = tempdir(CLEANUP => 1);
open(my $out, ">", "$directory/file") or die "open: $!";
print $out "line $_\n" for 1 .. 50;
close($out);
open(my $in, "<", "$directory/file") or die "open: $!";
my @even = grep { /(\d+)$/ && $1 % 2 == 0 } <$in>;
close($in);
print scalar(@even), " even, last $even[-1]";

my $upper = `echo piped | tr a-z A-Z`;
print $upper;

my $pid = fork();
die "fork: $!" unless defined $pid;
exit(7) if $pid == 0;
waitpid($pid, 0);
print "child exit ", WEXITSTATUS($?), "\n";

local $SIG{USR1} = sub { print "caught USR1\n" };
$| = 1;
kill "USR1", $$;
open(my $missing, "<", "/no/such/file") or print "error: $!\n";
printf "%.3f %s\n", atan2(1, 1) * 4, sprintf("%08b", 202);
