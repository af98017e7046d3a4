# keyctl(1) makes, reads, links, limits and ends keys.
names() { sed -E 's/ *\b[0-9]{6,}\b/N/g'; }
keyctl session - sh -c '
key=$(keyctl add user name secret @s) && echo added
keyctl print $key; keyctl pipe $key; echo; keyctl read $key
keyctl update $key another && keyctl print $key
keyctl describe $key; keyctl rdescribe $key
ring=$(keyctl newring ring @s) && keyctl link $key $ring
keyctl rlist $ring | wc -w; keyctl search @s user name | wc -w
keyctl unlink $key @s && keyctl list $ring
keyctl list @s; keyctl link $key @s
keyctl setperm $key 0x3f000000 && keyctl rdescribe $key
keyctl setperm $key 0x3d000000; keyctl read $key
keyctl setperm $key 0x3f3f0000
keyctl timeout $key 100 && keyctl print $key
echo piped | keyctl padd user other @s > /dev/null; keyctl request user other | wc -w; keyctl request user nobody
keyctl add logon plain secret @s; keyctl add logon prefix:name secret @s > /dev/null; keyctl print %logon:prefix:name
keyctl add keyring filled secret @s; keyctl add nosuch name secret @s; keyctl add user empty "" @s
keyctl show @s | sed "s/.*: //" | sort
keyctl clear $ring && keyctl list $ring
keyctl revoke $key; keyctl print $key
other=$(keyctl search @s user other); keyctl invalidate $other && echo invalid
keyctl chgrp $ring 5; keyctl rdescribe $ring
keyctl move $ring @s @u; keyctl list @u | grep -c "keyring: ring"; keyctl unlink $ring @u
keyctl id %:nosuch; keyctl print 1; keyctl link @s @s; keyctl unlink 12345678 @s
keyctl restrict_keyring @s; keyctl add user late secret @s
' 2>&1 | names
keyctl session named keyctl rdescribe @s 2>&1 | names
