"""DHCP, proxyDHCP, BOOTP: RFC 951, 1497, 2131, 2132, 3011, 3046, 3396, 3527, 4578, 5107, 6842, PXE 2.1.

    wire                       messages as octets and as values
    registry                   options that can be set; a new one is a line there
    options                    numbers of those that the protocol itself needs
    request                    what a client asks, and what tells machines apart
    pxe                        who asks: firmware, by what it says; its quirks in saying it
    boot rules menu decision   what it boots; a new condition is a field of boot.Rule, filled by rules
    plan reservations          networks as they are configured, addresses kept for one machine
    sheet sheets               the options that a network, a class, a host is told
    subnet pool networks       who has which address
    origin                     where a message can have come from
    reply                      what is answered; what firmware needs to find in a reply
    machine proxy bootp        a message in, its outcome out; explain tells the same to people
    server held store          datagrams in and out, replies that wait, the lease database
    prober monitor             addresses in use, other DHCP servers

Everything above the last two lines is without I/O and clock.
"""
