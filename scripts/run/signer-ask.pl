# scripts/run/signer-ask.pl: asks the signer for a sign of life, or for the public key of a key
# reference (lib/signer/message.h: ping, public-key). Prints the reply's text, or the key's DER.
#
# usage: perl - SOCKET [KEY_REF] <signer-ask.pl      perl-base, which every Debian has, is enough.
use strict;
use warnings;
use IO::Socket::UNIX;

my ($path, $key_ref) = @ARGV;
$SIG{ALRM} = sub { die "no answer within 3 s\n" };
alarm 3;

my $socket = IO::Socket::UNIX->new(Peer => $path) or die "connect: $!\n";
my $frame = defined $key_ref ? pack('CCCN/a', 1, 2, 1, $key_ref) : pack('CC', 1, 1);
print {$socket} pack('N/a', $frame) or die "send: $!\n";
$socket->flush;

sub take {
    my ($size, $octets) = (shift, '');
    while (length $octets < $size) {
        sysread($socket, $octets, $size - length $octets, length $octets) or die "the signer hung up\n";
    }
    return $octets;
}

my $reply = take(unpack 'N', take(4));
my ($version, $kind, @fields) = unpack 'CC(CN/a)*', $reply;
my %field = @fields;
die 'refused: ', $field{1} // '', ' ', $field{2} // '', "\n" if $kind != 1;
binmode STDOUT;
print defined $key_ref ? $field{4} // '' : ($field{6} // '') . "\n";
