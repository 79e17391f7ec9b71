"""The pipeline of br-int: from the model to flows.  One module owns one table.

    0  classify       in_port -> network                                    -> port_security, admit, vnic_control, underlay
    2  vnic_control   CVSW's control frames of a vNIC that encapsulates     -> controller
    3  underlay       its tunnel packets                                    <-> br-phy
    5  admit          tunnel: (outer source, network) allowed?              -> l2
   10  port_security  guest: sends only from its own addresses              -> answer, configuration
   12  configuration  what it asks about its own addresses: DHCP, router solicitations   -> controller
   30  answer         ARP requests and neighbour solicitations, from the model -> l2, send_answer
   31  send_answer    finishes a neighbour advertisement, back to the guest
   50  l2             destination MAC -> local port or remote hypervisor    -> output, flood
   60  flood          broadcast, multicast: local ports and one copy to each hypervisor of the network -> output
   80  output         to the guest

Free for what comes: 20 ACL of the sending port, 40 routing, 70 ACL of the receiving port.  A packet from the underlay never goes back to
the underlay, so no loop can form while hypervisors disagree.  What no flow matches is dropped.

Registers: metadata = VNI; reg0 = 1 where the packet came from the underlay; reg15 = OpenFlow port to output to.

`flow` holds the types; every other module is pure functions from the model to `FlowSpec`s.
"""
